"""One line in the log for each request that generates, at its end: who, what and how it went, never content."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from flask import Response, after_this_request, request

from webapp.api.current import on_disconnect, request_id
from webapp.api.errors import status_of
from webapp.errors import HearthError
from webapp.generation import Event, Finish

log = logging.getLogger("webapp.api")

CLIENT_LEFT = 499
_LINE = "%s model=%.100r status=%d finish=%s prompt=%s cached=%s completion=%s ttft_ms=%s duration_ms=%d client_id=%s"


class RequestLine:
    """Made when a request arrives; written once, when its response is closed, whatever became of it."""

    def __init__(self) -> None:
        self.model = ""
        self._began = time.perf_counter()
        self._request_id = request_id()
        self._client_id = request.environ.get("hearth.client_request_id", "-")
        self._status = 500
        self._failure: str | None = None
        self._finish: Finish | None = None
        self._left = False
        on_disconnect(self._note_leaving)
        after_this_request(self._end_with)

    def follow(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events. A stream has its status 200 long before it fails: then the line has the true one."""
        try:
            for event in events:
                if isinstance(event, Finish):
                    self._finish = event
                yield event
        except HearthError as error:
            self._status, self._failure = status_of(error), error.code
            raise

    def _note_leaving(self) -> None:
        self._left = True

    def _end_with(self, response: Response) -> Response:
        self._status = response.status_code
        response.call_on_close(self._write)
        return response

    def _write(self) -> None:
        finish, usage = self._finish, self._finish.usage if self._finish else None
        ttft = finish.timing.ttft_seconds if finish else None
        log.info(
            _LINE,
            self._request_id,
            self.model,
            CLIENT_LEFT if self._has_left() else self._status,
            finish.reason if finish else self._failure or "-",
            usage.prompt_tokens if usage else "-",
            usage.cached_tokens if usage else "-",
            usage.completion_tokens if usage else "-",
            "-" if ttft is None else round(ttft * 1000),
            round((time.perf_counter() - self._began) * 1000),
            self._client_id,
        )

    def _has_left(self) -> bool:
        """A stream closed unread has neither ended nor failed; a plain answer has, and nobody waited for it."""
        if self._finish is None:
            return self._left or (self._status == 200 and self._failure is None)
        return self._left and self._finish.reason == "cancelled"
