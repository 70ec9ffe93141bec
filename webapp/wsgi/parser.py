"""Parses one request: waitress' parser with Hearth's limits, and an error for each limit."""

from __future__ import annotations

import re
import time

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

from webapp.wsgi.connection_limits import Tuning

_OPENING_BYTES = 2048
_CHUNK_LINE_BYTES = 1024
_TARGET = re.compile(rb"\s*[A-Z]+ ([^\s?#]+)")


class RequestTimeout(Error):
    code = 408


class TooManyRequests(Error):
    code = 429


class ServiceUnavailable(Error):
    code = 503


class VersionNotSupported(Error):
    code = 505


class Parser(HTTPRequestParser):
    adj: Tuning
    error: Error | None
    command: str
    path = ""  # waitress sets it once the first line is understood, and logs it in any case

    def __init__(self, adj: Tuning):
        super().__init__(adj)
        self._opening = b""
        self.began = time.time()

    @property
    def requested_path(self) -> str:
        """The path, or the part of it that arrived, also of a request that could not be parsed."""
        match = _TARGET.match(self._opening)
        return match[1].decode("latin-1") if match else ""

    def received(self, data: bytes) -> int:
        if len(self._opening) < _OPENING_BYTES:
            self._opening += data[:_OPENING_BYTES]
        consumed: int = super().received(data)
        if self.chunked and not self.completed:
            self._limit_chunk_lines()
        if self.completed:
            self.expect_continue = False  # waitress 3.0.2 would send "continue" for a complete request, and hang
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        self.adj = self.adj.for_path(self.path)
        if self.version not in ("1.0", "1.1"):
            self.error = VersionNotSupported("Hearth speaks HTTP/1.1 and HTTP/1.0.")
            self.completed = True
        # Refuse requests whose length two parsers may read differently
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")

    def is_overdue(self, now: float) -> bool:
        limits = self.adj.limits
        allowed = limits.header_seconds
        if self.headers_finished:
            allowed += limits.body_seconds + self.body_bytes_received / limits.body_bytes_per_second
        return now - self.began > allowed

    def _limit_chunk_lines(self) -> None:
        """Limit the length of a chunk's lines: waitress copies an unfinished one at every read."""
        lines = self.body_rcv
        if len(lines.control_line) > _CHUNK_LINE_BYTES or len(lines.trailer) > self.adj.limits.header_bytes:
            self.error = BadRequest("A chunk's size line or the trailer is too long.")
            self.completed = True
