"""Every request under /v1 ends in exactly one row of the audit, whatever fails on the way to its client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException

from tests.pages.conftest import Rows, finish
from webapp import errors
from webapp.api import register, to_response
from webapp.api.ask import event_stream, json_response
from webapp.api.record import record
from webapp.generation import Event, Finish, GenerationRequest, Text
from webapp.store.audit import AuditRow
from webapp.stream import Stream

CLOSED = finish("cancelled")


class Answer:
    """A stream of these events; closing it puts an end to them, as the engine does."""

    def __init__(self, *events: Event | BaseException):
        self.closed = 0
        self._events = events
        self.stream = Stream(self._tell(), cancel=self._close, answered_by="answered")

    def follow(self) -> Iterator[Event]:
        here = record()
        here.trace.asks(GenerationRequest("req_1", "asked", prompt="Hi"))
        return here.follow(self.stream)

    def _tell(self) -> Iterator[Event]:
        for event in self._events:
            if self.closed:
                yield CLOSED
                return
            if isinstance(event, BaseException):
                raise event
            yield event

    def _close(self) -> None:
        self.closed += 1


def asked(view: Callable[[], Response]) -> tuple[FlaskClient, Rows]:
    """A client of an application with one more route, and the audit that it writes to."""
    app, rows = Flask(__name__), Rows()
    app.extensions["server"] = SimpleNamespace(audit=rows, draining=False)
    register(app)
    app.add_url_rule("/v1/answer", view_func=view)
    for kind in (HTTPException, errors.HearthError, Exception):
        app.register_error_handler(kind, to_response)
    return app.test_client(), rows


def only(rows: Rows) -> AuditRow:
    ((row, _, _),) = rows.kept
    return row


def words(events: Iterable[Event], breaks_at: type[Event] | None = None) -> Iterator[bytes]:
    """A wire that may break at an event of some class."""
    for event in events:
        if breaks_at is not None and isinstance(event, breaks_at):
            raise KeyError("a crash of the wire")
        yield repr(event).encode()


def streamed(answer: Answer, breaks_at: type[Event] | None = None) -> Callable[[], Response]:
    return lambda: event_stream(words(answer.follow(), breaks_at), answer.stream)


def plain(answer: Answer, breaks_at: type[Event] | None = None) -> Callable[[], Response]:
    return lambda: json_response({"said": b"".join(words(answer.follow(), breaks_at)).decode()})


def test_an_answer() -> None:
    for way in (streamed, plain):
        client, rows = asked(way(Answer(Text("a"), finish("stop"))))
        response = client.get("/v1/answer")
        assert response.status_code == 200 and b"Finish" in response.get_data()
        assert (only(rows).status, only(rows).code, only(rows).completion_tokens) == ("ok", "stop", 12)


def test_the_row_is_there_before_the_client_can_know_of_the_end() -> None:
    client, rows = asked(streamed(Answer(Text("a"), Text("b"), finish("stop"))))
    pieces = iter(client.get("/v1/answer").response)
    seen = [(b"Finish" in piece, len(rows.kept)) for piece in pieces]
    assert seen[-1] == (True, 1) and seen[0] == (False, 0)


@pytest.mark.parametrize("breaks_at", [Text, Finish], ids=lambda event: event.__name__)
def test_a_wire_that_breaks_in_a_stream(breaks_at: type[Event]) -> None:
    """The answer goes nowhere: it is ended, and what it came to is known all the same."""
    answer = Answer(Text("a"), Text("b"), finish("stop"))
    client, rows = asked(streamed(answer, breaks_at))
    with pytest.raises(KeyError):
        client.get("/v1/answer").get_data()
    assert (only(rows).status, only(rows).code, only(rows).completion_tokens) == ("error", "internal_error", 12)
    assert answer.closed or breaks_at is Finish


@pytest.mark.parametrize("breaks_at", [Text, Finish], ids=lambda event: event.__name__)
def test_a_wire_that_breaks_in_a_plain_answer(breaks_at: type[Event]) -> None:
    answer = Answer(Text("a"), Text("b"), finish("stop"))
    client, rows = asked(plain(answer, breaks_at))
    assert client.get("/v1/answer").status_code == 500
    assert (only(rows).status, only(rows).code, only(rows).completion_tokens) == ("error", "internal_error", 12)
    assert answer.closed or breaks_at is Finish


def test_what_is_refused_after_the_model_has_answered() -> None:
    answer = Answer(Text("a"), finish("stop"))

    def view() -> Response:
        list(answer.follow())
        raise errors.InvalidRequest("too many", "dimensions", "invalid_value")

    client, rows = asked(view)
    assert client.get("/v1/answer").status_code == 400
    assert (only(rows).status, only(rows).code, only(rows).prompt_tokens) == ("refused", "invalid_value", 40)


@pytest.mark.parametrize("failure", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_no_handler_catches(failure: BaseException) -> None:
    def view() -> Response:
        raise failure

    client, rows = asked(view)
    with pytest.raises(type(failure)):
        client.get("/v1/answer")
    assert (only(rows).status, only(rows).code) == ("error", "internal_error")


def test_what_no_handler_catches_within_an_answer() -> None:
    answer = Answer(Text("a"), SystemExit(3))
    client, rows = asked(streamed(answer))
    with pytest.raises(SystemExit):
        client.get("/v1/answer").get_data()
    assert (only(rows).status, only(rows).code) == ("error", "internal_error")


def test_a_stream_that_breaks_while_it_is_read_on() -> None:
    """Its reader has left, and then the provider fails at its last event."""
    answer = Answer(Text("a"), finish("stop"))

    def tell() -> Iterator[Event]:
        yield Text("a")
        yield Text("b")
        raise ValueError("a crash of the provider")

    answer.stream = Stream(tell(), cancel=lambda: None)
    client, rows = asked(streamed(answer))
    response = client.get("/v1/answer")
    with pytest.raises(ValueError):
        response.close()
    assert (only(rows).status, only(rows).code) == ("error", "internal_error")


@pytest.mark.parametrize("read", [0, 1])
def test_a_reader_that_leaves(read: int) -> None:
    answer = Answer(Text("a"), Text("b"), Text("c"), finish("stop"))
    client, rows = asked(streamed(answer))
    response = client.get("/v1/answer")
    for _ in range(read):
        next(iter(response.response))
    response.close()
    assert (only(rows).status, only(rows).code, only(rows).completion_tokens) == ("cancelled", "client", 12)
    assert answer.closed


def test_an_error_in_a_stream_is_in_the_row_before_the_client_reads_it() -> None:
    def told(events: Iterator[Event]) -> Iterator[bytes]:
        try:
            yield from words(events)
        except errors.TimedOut:
            yield b"too late"

    answer = Answer(Text("a"), errors.TimedOut("late"))
    client, rows = asked(lambda: event_stream(told(answer.follow()), answer.stream))
    seen = [(piece, len(rows.kept)) for piece in client.get("/v1/answer").response]
    assert seen[-1] == (b"too late", 1)
    assert (only(rows).status, only(rows).code) == ("timeout", "timeout")
