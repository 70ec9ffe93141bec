"""One request's record under /v1: a row in the audit for each, and a line in the log for those that generate.

Both are made at its end, whatever became of it. The line never has content; the row has what the settings allow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from flask import Response, after_this_request, g, request

from webapp.api.current import on_disconnect, request_id
from webapp.audit.log import is_recorded
from webapp.audit.trace import LOCAL, Content, Trace
from webapp.dialects import STATUSES, Refusal
from webapp.errors import HearthError, InvalidRequest, Place
from webapp.gate import server, visitor, was_let_in
from webapp.generation import Event
from webapp.store.audit import AuditRow
from webapp.stream import Stream

log = logging.getLogger("webapp.api")

UNKNOWN = "unknown"
_LINE = "%s model=%.100r status=%d finish=%s prompt=%s cached=%s completion=%s ttft_ms=%s duration_ms=%d client_id=%s"


def begin() -> None:
    """Before every request: those under /v1 get a record."""
    if is_recorded(request.path):
        g.record = RequestRecord()


def end(failure: BaseException | None) -> None:
    """After every request: end a record to which no response came."""
    if "record" in g:
        record().end(failure)


def record() -> RequestRecord:
    """The record of the request at hand."""
    return cast(RequestRecord, g.record)


def who() -> str:
    """Whom the audit names: a key, whoever sits before this machine, or somebody who was not let in."""
    return (visitor().name or LOCAL) if was_let_in() else UNKNOWN


class RequestRecord:
    """Made when a request arrives; its trace is written just before the client can know of the end, so that whoever
    asks for the audit next finds it there, or when the response of a client that has left is closed.
    """

    def __init__(self) -> None:
        self.path_of: Callable[[Place], str] | None = None
        self._server = server()
        self.trace = Trace(request_id(), UNKNOWN, request.path, self._write, self._holder)
        self.generates = False
        self._client_id = request.environ.get("hearth.client_request_id", "-")
        self._status = STATUSES["broken"]
        self._responding = False
        on_disconnect(self._note_leaving)
        after_this_request(self._end_with)

    def names(self, model: object) -> None:
        """Note the model that a body asks for, before anybody knows whether the rest of it makes sense.

        Raises Forbidden when the key may not use it.
        """
        if isinstance(model, str):
            self.trace.model = model
            visitor().check_model(model)

    def follow(self, stream: Stream) -> Iterator[Event]:
        """The stream's events as they are; an error that ends it names what is at fault in the client's words."""
        try:
            yield from self.trace.follow(stream)
        except HearthError as error:
            self.translate(error)
            raise

    def end(self, failure: BaseException | None) -> None:
        """End with an exception that no handler made a response of."""
        if not self._responding:
            self.trace.who = who()
            self.trace.end(failure)

    def translate(self, error: HearthError) -> None:
        """Name what is at fault as the client's own body has it."""
        if isinstance(error, InvalidRequest) and error.place is not None and self.path_of is not None:
            error.param = self.path_of(error.place)

    def _note_leaving(self) -> None:
        self.trace.left = True

    def _end_with(self, response: Response) -> Response:
        self.trace.who = who()
        self._status = response.status_code
        self._responding = True
        if self._status >= 400:
            error: dict[str, Any] = response.get_json()["error"] if response.is_json else {}
            self.trace.refusal = Refusal(self._status, error.get("code"), error.get("message", ""))
        if response.is_streamed:
            response.response = self.trace.tell(cast(Iterable[bytes], response.response))
            response.call_on_close(self.trace.end)
        else:
            self.trace.end()
        return response

    def _holder(self) -> str:
        return "shutdown" if self._server.draining else "client"

    def _write(self, row: AuditRow, notes: Mapping[str, object], content: Content | None) -> None:
        self._server.audit.record(row, notes, content)
        if self.generates:
            self._log(row)

    def _log(self, row: AuditRow) -> None:
        finish, error = self.trace.finish, self.trace.error
        ttft = finish.timing.ttft_seconds if finish else None
        log.info(
            _LINE,
            row.id,
            self.trace.model or "",
            self._status_of(row),
            finish.reason if finish else (error and error.code) or "-",
            "-" if row.prompt_tokens is None else row.prompt_tokens,
            "-" if row.cached_tokens is None else row.cached_tokens,
            "-" if row.completion_tokens is None else row.completion_tokens,
            "-" if ttft is None else round(ttft * 1000),
            round(self.trace.duration_ms),
            self._client_id,
        )

    def _status_of(self, row: AuditRow) -> int:
        """The status there was, or would have been: a stream has its 200 long before it fails."""
        finish, error = self.trace.finish, self.trace.error
        if self.trace.left and (finish is None or finish.reason == "cancelled"):
            return STATUSES["cancelled"]
        if error is not None:
            return STATUSES[error.kind]
        return STATUSES["broken"] if row.status == "error" and self._status < 400 else self._status
