"""Limits the time of work that might never end, such as a chat template: a program from a model folder."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from typing import TypeVar

T = TypeVar("T")


class _Late(BaseException):
    """Injected into work that is late."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own; raises TimeoutError when it takes longer, and every error of `work`.

    Late work is broken off by an exception injected between its bytecodes, as nothing else stops a loop.
    """
    threads: list[int] = []

    def run() -> T:
        threads.append(threading.get_ident())
        return work()

    executor = ThreadPoolExecutor(1, thread_name_prefix="deadline")
    try:
        future = executor.submit(run)
        return future.result(seconds)
    except TimeoutError:
        for thread in threads:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Late))
        raise
    finally:
        executor.shutdown(wait=False)
