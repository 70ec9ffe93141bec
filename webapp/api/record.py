"""One request's record under /v1: a row in the audit for each, and a line in the log for those that generate.

Both are written when the request ends, also after a failure. The line never has content; the row has what the
settings allow.
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
    """Start a record for a request under /v1; Flask calls this before every request."""
    if is_recorded(request.path):
        g.record = RequestRecord()


def end(failure: BaseException | None) -> None:
    """End a record that got no response; Flask calls this after every request."""
    if "record" in g:
        record().end(failure)


def record() -> RequestRecord:
    """Return the record of the current request."""
    return cast(RequestRecord, g.record)


def who() -> str:
    """Return the name for the audit: the key's, LOCAL without a key, or UNKNOWN if the gate let nobody in."""
    return (visitor().name or LOCAL) if was_let_in() else UNKNOWN


class RequestRecord:
    """One request's record, made when the request arrives.

    Its trace is written just before the client sees the end, so that the client finds the row if it reads the audit
    next. If the client has left, it is written when the response is closed.
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
        """Note the model that a body names, before the rest of the body is checked.

        Raises Forbidden when the key may not use it.
        """
        if isinstance(model, str):
            self.trace.model = model
            visitor().check_model(model)

    def follow(self, stream: Stream) -> Iterator[Event]:
        """Yield the stream's events unchanged; an error that ends it gets the dotted path in the client's body."""
        try:
            yield from self.trace.follow(stream)
        except HearthError as error:
            self.translate(error)
            raise

    def end(self, failure: BaseException | None) -> None:
        """End with an exception that no handler turned into a response."""
        if not self._responding:
            self.trace.who = who()
            self.trace.end(failure)

    def translate(self, error: HearthError) -> None:
        """Set the error's `param` to the dotted path in the client's own body."""
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
        """Return the status for the log. A stream that fails after its 200 gets its error's status."""
        finish, error = self.trace.finish, self.trace.error
        if self.trace.left and (finish is None or finish.reason == "cancelled"):
            return STATUSES["cancelled"]
        if error is not None:
            return STATUSES[error.kind]
        return STATUSES["broken"] if row.status == "error" and self._status < 400 else self._status
