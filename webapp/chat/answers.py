"""An answer while its thread writes it, and the readers that wait for news of it. Knows no store and no pages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from webapp.generation import Event, GenerationRequest, Prefill, Reasoning, Text
from webapp.stream import Stream


class LiveAnswer:
    """An answer being written: one thread writes, anyone reads without a lock."""

    def __init__(self, chat_id: str, turn_id: int, request: GenerationRequest, write: Callable[[LiveAnswer], None]):
        self.chat_id = chat_id
        self.turn_id = turn_id
        self.request = request
        self.text = ""
        self.reasoning = ""
        self.prefill: Prefill | None = None
        self._stopped = threading.Event()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=write, args=(self,), name=f"answer-{turn_id}", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def follow(self, stream: Stream, events: Iterator[Event]) -> Iterator[Event]:
        """Yields the events and adds their text to the answer. Closes the stream at once if `stop()` came before it."""
        self._stream = stream
        if self._stopped.is_set():
            stream.close()
        for event in events:
            match event:
                case Text():
                    self.text += event.text
                case Reasoning():
                    self.reasoning += event.text
                case Prefill():
                    self.prefill = event
            yield event

    def stop(self) -> None:
        self._stopped.set()
        if self._stream is not None:
            self._stream.close()

    def wait(self, timeout: float) -> None:
        """Wait until the end of the answer is stored, at most `timeout` seconds."""
        self._thread.join(timeout)


class Watch:
    """One reader waiting for news of the conversation it shows, or of the list."""

    def __init__(self) -> None:
        self.chat_id: str | None = None
        self._news = threading.Event()

    def wake(self) -> None:
        self._news.set()

    def wait(self, timeout: float) -> None:
        self._news.wait(timeout)
        self._news.clear()
