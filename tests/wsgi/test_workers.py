"""Threads come with the work and leave when idle."""

from __future__ import annotations

import threading

import pytest

from tests.wsgi.conftest import eventually
from webapp.wsgi.workers import Workers


class Job:
    def __init__(self, workers: Workers) -> None:
        self.running, self.release, self.done = threading.Event(), threading.Event(), threading.Event()
        self.cancelled = False
        workers.add_task(self)

    def service(self) -> None:
        self.running.set()
        self.release.wait(10)
        self.done.set()

    def cancel(self) -> None:
        self.cancelled = True


def finish(*jobs: Job) -> None:
    for job in jobs:
        job.release.set()
        assert job.done.wait(10)


def test_one_thread_serves_one_after_another() -> None:
    workers = Workers(1, 4, 60)
    for _ in range(5):
        finish(Job(workers))
        assert eventually(lambda: workers.busy == 0)
    assert workers.count == 1
    workers.shutdown(1)
    assert workers.count == 0


def test_grows_to_the_maximum_then_queues_in_order() -> None:
    workers = Workers(1, 3, 60)
    jobs = [Job(workers) for _ in range(5)]
    assert jobs[:3] and all(job.running.wait(10) for job in jobs[:3])
    assert (workers.count, jobs[3].running.is_set()) == (3, False)
    jobs[1].release.set()
    assert jobs[3].running.wait(10)
    assert not jobs[4].running.is_set()
    finish(*jobs)
    workers.shutdown(1)


def test_idle_threads_leave_down_to_the_minimum() -> None:
    workers = Workers(2, 10, 0.05)
    finish(*[Job(workers) for _ in range(6)])
    assert eventually(lambda: workers.count == 2)
    finish(Job(workers))
    workers.shutdown(1)


def test_no_task_is_lost_while_threads_leave() -> None:
    workers = Workers(0, 8, 0.0005)
    for _ in range(300):
        finish(*[Job(workers) for _ in range(3)])
    workers.shutdown(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dying_thread_is_not_counted() -> None:
    class Fatal(Job):
        def service(self) -> None:
            raise SystemExit

    workers = Workers(1, 1, 60)
    Fatal(workers)
    assert eventually(lambda: workers.count == 0)
    finish(Job(workers))
    workers.shutdown(1)


def test_shutdown_cancels_what_waits() -> None:
    workers = Workers(1, 1, 60)
    running, waiting = Job(workers), Job(workers)
    assert running.running.wait(10)
    workers.shutdown(0.05)
    assert waiting.cancelled and not running.cancelled
    finish(running)
    assert eventually(lambda: workers.count == 0)
