"""What this room overrides or reads in waitress is not promised there: a release that renames it must fail here."""

from __future__ import annotations

import inspect

import pytest
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.server import BaseWSGIServer, TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error

from webapp.wsgi.connection_limits import ConnectionLimits, Tuning

NAMES = {
    HTTPChannel: (
        "task_class error_task_class parser_class request last_activity will_close close_when_flushed "
        "total_outbufs_len handle_read handle_write handle_close readable received write_soon service "
        "del_channel connected recv _flush_exception _flush_some check_client_disconnected"
    ),
    TcpWSGIServer: (
        "channel_class add_task maintenance pull_trigger del_channel in_connection_overflow accepting close"
    ),
    HTTPRequestParser: (
        "received parse_header completed headers_finished expect_continue chunked body_rcv "
        "body_bytes_received error version close"
    ),
    ChunkedReceiver: "control_line trailer",
    WSGITask: "get_environment execute write finish service set_close_on_finish",
    ErrorTask: "execute status content_length",
    ThreadedTaskDispatcher: "add_task shutdown",
    Error: "code",
    wasyncore: "loop close_all",
}
INSTANCE_NAMES = {
    HTTPChannel: "requests requests_lock server adj addr",
    BaseWSGIServer: "active_channels effective_host effective_port application task_dispatcher",
    HTTPRequestParser: "headers adj",
    Error: "body",
}


@pytest.mark.parametrize("owner", NAMES, ids=lambda owner: owner.__name__)
def test_class_names_exist(owner: object) -> None:
    assert [name for name in NAMES[owner].split() if not hasattr(owner, name)] == []


@pytest.mark.parametrize("owner", INSTANCE_NAMES, ids=lambda owner: owner.__name__)
def test_instance_names_are_set_by_the_constructor(owner: type) -> None:
    source = inspect.getsource(owner.__init__)
    assert [name for name in INSTANCE_NAMES[owner].split() if f"self.{name}" not in source] == []


def test_flows_that_are_relied_on() -> None:
    received = inspect.getsource(HTTPChannel.received)
    assert "with self.requests_lock" in received and "self.server.add_task(self)" in received
    assert "self.parser_class(self.adj)" in received
    assert "self.command = command" in inspect.getsource(HTTPRequestParser.parse_header)
    assert "obj.handle_close()" in inspect.getsource(wasyncore.readwrite)
    assert "self.maintenance(now)" in inspect.getsource(BaseWSGIServer.readable)
    assert issubclass(ParsingError, Exception)


def test_every_setting_is_known_to_waitress() -> None:
    tuning = Tuning("127.0.0.1", 0, ConnectionLimits())
    assert (tuning.connection_limit, tuning.channel_request_lookahead, tuning.ident) == (2048, 1, None)
    assert tuning.for_path("/v1/models").max_request_body_size == 16 << 20
    assert tuning.for_path("/chat").max_request_body_size == 1 << 20
