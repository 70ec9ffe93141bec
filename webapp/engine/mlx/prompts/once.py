"""A value that is made at its first use and then stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Makes a value at its first use and stores it. Thread-safe: callers wait while another one makes it.

    `functools.cached_property` has one lock for all objects of a class before Python 3.12. If making the value
    raises, that caller gets the error and the next caller tries again.
    """

    def __init__(self, make: Callable[[], T]):
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[T] | None = None

    def get(self) -> T:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = (self._make(),)
        return self._made[0]
