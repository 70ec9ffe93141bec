"""What is kept of a request under /v1: a row in the audit for each, and a line in the log for those that generate.

Both are made at its end, whatever became of it. The line never has content; the row has what the settings allow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import cast

from flask import Response, after_this_request, g, request

from webapp.api.current import on_disconnect, request_id
from webapp.audit.log import is_recorded
from webapp.audit.trace import LOCAL, ROW_STATUSES, Trace
from webapp.dialects import STATUSES, kind_of
from webapp.errors import HearthError, InvalidRequest, Place
from webapp.gate import server, visitor, was_let_in
from webapp.generation import Event, Finish
from webapp.store.audit import Status
from webapp.stream import Stream

log = logging.getLogger("webapp.api")

UNKNOWN = "unknown"
_LINE = "%s model=%.100r status=%d finish=%s prompt=%s cached=%s completion=%s ttft_ms=%s duration_ms=%d client_id=%s"


def begin() -> None:
    """Before every request: those under /v1 get a record."""
    if is_recorded(request.path):
        g.record = RequestRecord()


def record() -> RequestRecord:
    return cast(RequestRecord, g.record)


def who() -> str:
    """Whom the audit names: a key, whoever sits before this machine, or somebody who was not let in."""
    return (visitor().name or LOCAL) if was_let_in() else UNKNOWN


class RequestRecord:
    """Made when a request arrives; written once, at its end: just before its client can know of that, so that who asks
    for the audit next finds it there, or when the response of a client that has left is closed.
    """

    def __init__(self) -> None:
        self.trace = Trace(request_id(), UNKNOWN, request.path)
        self.generates = False
        self.path_of: Callable[[Place], str] | None = None
        self._server = server()
        self._client_id = request.environ.get("hearth.client_request_id", "-")
        self._status = 500
        self._code: str | None = None
        self._stream: Stream | None = None
        self._left = False
        self._responding = False
        self._written = False
        on_disconnect(self._note_leaving)
        after_this_request(self._end_with)

    def names(self, model: object) -> None:
        """The model that a body asks for, before anybody knows whether the rest of it makes sense.

        Raises Forbidden when the key may not use it.
        """
        if isinstance(model, str):
            self.trace.model = model
            visitor().check_model(model)

    def follow(self, stream: Stream) -> Iterator[Event]:
        """Its events. It has its status 200 long before it fails: then line and row have the true one."""
        self._stream = stream
        try:
            for event in self.trace.follow(stream):
                if isinstance(event, Finish) and self._responding:
                    self._write()
                yield event
        except HearthError as error:
            self.translate(error)
            self._status = STATUSES[error.kind]
            if self._responding:
                self._write()
            raise

    def translate(self, error: HearthError) -> None:
        """Name what is at fault as the client's own body has it."""
        if isinstance(error, InvalidRequest) and error.place is not None and self.path_of is not None:
            error.param = self.path_of(error.place)

    def _note_leaving(self) -> None:
        self._left = True

    def _end_with(self, response: Response) -> Response:
        self.trace.who = who()
        self._status = response.status_code
        if response.is_json and response.status_code >= 400:
            error = response.get_json()["error"]
            self._code, self.trace.notes["error"] = error["code"], error["message"]
        self._responding = True
        if response.is_streamed:
            response.call_on_close(self._write)
        else:
            self._write()
        return response

    def _write(self) -> None:
        if self._written:
            return
        self._written = True
        self._read_on()
        status, code = self._ending()
        self._server.audit.record(self.trace.row(status, code), self.trace.notes, self.trace.content)
        if self.generates:
            self._log()

    def _read_on(self) -> None:
        """A stream whose reader has left: its last event says what it came to."""
        if self._stream is None or self.trace.finish or self.trace.error:
            return
        self._left = True
        self._stream.close()
        try:
            for _ in self.trace.follow(self._stream):
                pass
        except HearthError as error:
            self._status = STATUSES[error.kind]

    def _ending(self) -> tuple[Status, str | None]:
        """A plain answer that nobody waited for was an answer nevertheless."""
        if self.trace.finish or self.trace.error:
            return self.trace.ending(cancelled_by="shutdown" if self._server.draining else "client")
        if self._status < 400:
            return "ok", None
        return ROW_STATUSES[kind_of(self._status)], self._code

    def _log(self) -> None:
        finish, error = self.trace.finish, self.trace.error
        usage = finish.usage if finish else None
        ttft = finish.timing.ttft_seconds if finish else None
        log.info(
            _LINE,
            self.trace.id,
            self.trace.model or "",
            STATUSES["cancelled"] if self._has_left() else self._status,
            finish.reason if finish else (error and error.code) or "-",
            usage.prompt_tokens if usage else "-",
            usage.cached_tokens if usage else "-",
            usage.completion_tokens if usage else "-",
            "-" if ttft is None else round(ttft * 1000),
            round(self.trace.duration_ms),
            self._client_id,
        )

    def _has_left(self) -> bool:
        finish = self.trace.finish
        return self._left and (finish is None or finish.reason == "cancelled")
