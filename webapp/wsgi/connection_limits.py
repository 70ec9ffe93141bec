"""The limits for connections, and waitress' settings that follow from them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from waitress.adjustments import Adjustments

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ConnectionLimits:
    connections: int = 2048
    header_bytes: int = 16 << 10
    api_body_bytes: int = 16 * _MEGABYTE
    page_body_bytes: int = _MEGABYTE
    pending_output_bytes: int = _MEGABYTE
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    body_bytes_per_second: int = 16 << 10
    send_seconds: float = 30.0
    idle_seconds: float = 120.0
    crowded_idle_seconds: float = 5.0
    linger_seconds: float = 5.0
    thread_idle_seconds: float = 60.0
    websocket_send_seconds: float = 10.0
    websocket_close_seconds: float = 2.0


class Tuning(Adjustments):
    """waitress' settings for these limits. `for_path` gives pages their own, smaller body limit."""

    def __init__(self, host: str, port: int, limits: ConnectionLimits):
        super().__init__(
            host=host,
            server_name=host,  # SERVER_NAME says where we listen
            port=port,
            connection_limit=limits.connections,
            asyncore_use_poll=True,  # select() stops at file descriptor 1023
            channel_request_lookahead=1,  # without it waitress does not notice that a client leaves
            outbuf_high_watermark=limits.pending_output_bytes,
            max_request_header_size=limits.header_bytes,
            max_request_body_size=limits.api_body_bytes,
            recv_bytes=64 << 10,
            cleanup_interval=1,
            clear_untrusted_proxy_headers=False,  # not trusted, but the gate must see that there was a proxy
            ident=None,
        )
        self.limits = limits
        self._pages = copy.copy(self)
        self._pages.max_request_body_size = limits.page_body_bytes

    def for_path(self, path: str) -> Tuning:
        path = "/" + path.lstrip("/")
        return self if path == "/v1" or path.startswith("/v1/") else self._pages
