"""Worker threads on demand: a stream keeps its thread for minutes, so the number of threads grows with the streams.

Stands in for waitress' ThreadedTaskDispatcher, whose number of threads is fixed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Protocol

log = logging.getLogger(__name__)


class Task(Protocol):
    def service(self) -> None: ...

    def cancel(self) -> None: ...


Inbox = SimpleQueue[Task | None]


class Workers:
    """At most `maximum` daemon threads; a thread beyond `minimum` ends after `idle_seconds` without a task."""

    def __init__(self, minimum: int, maximum: int, idle_seconds: float):
        self._minimum, self._maximum, self._idle_seconds = minimum, maximum, idle_seconds
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._idle: list[Inbox] = []
        self._waiting: deque[Task] = deque()
        self._closed = False

    @property
    def count(self) -> int:
        return len(self._threads)

    @property
    def busy(self) -> int:
        with self._lock:
            return len(self._threads) - len(self._idle)

    def add_task(self, task: Task) -> None:
        with self._lock:
            if self._idle:
                self._idle.pop().put(task)  # the one idle for the shortest time, so that the others may leave
            elif len(self._threads) < self._maximum:
                self._start(task)
            else:
                if not self._waiting:
                    log.warning("All %d web threads are busy; requests wait.", self._maximum)
                self._waiting.append(task)

    def shutdown(self, timeout_seconds: float) -> None:
        """Cancel waiting tasks, end idle threads and wait for busy ones; the rest die with the program."""
        with self._lock:
            self._closed = True
            while self._waiting:
                self._waiting.popleft().cancel()
            while self._idle:
                self._idle.pop().put(None)
        deadline = time.monotonic() + timeout_seconds
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, task: Task) -> None:
        thread = threading.Thread(target=self._work, args=(task,), name="web", daemon=True)
        thread.start()
        self._threads.add(thread)

    def _work(self, task: Task | None) -> None:
        inbox: Inbox = SimpleQueue()
        try:
            while task is not None:
                task.service()
                task = self._next(inbox)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self, inbox: Inbox) -> Task | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._closed:
                return None
            self._idle.append(inbox)
        while True:
            try:
                return inbox.get(timeout=self._idle_seconds)
            except Empty:
                if self._may_leave(inbox):
                    return None

    def _may_leave(self, inbox: Inbox) -> bool:
        with self._lock:
            if inbox not in self._idle or len(self._threads) <= self._minimum:
                return False  # a task is on its way to this inbox, or there are few enough threads
            self._idle.remove(inbox)
            self._threads.discard(threading.current_thread())  # at once: add_task counts these
            return True
