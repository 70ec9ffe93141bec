"""The engine: an inbox of typed commands, `step()`, and the one thread that calls it.

Everything MLX happens inside `step()`. Other threads only post commands, empty outboxes, and read
the published snapshot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from webapp.engine.pool import Pool
from webapp.engine.publisher import Publisher
from webapp.engine.runner import Decoded, Finished, Output, Prefilled, Runner
from webapp.engine.scheduler import Limits, Scheduler
from webapp.engine.sequence import End, Failed, Progress, Sequence, Token
from webapp.engine.snapshot import Health, Snapshot
from webapp.errors import EngineFailed, EngineStopped, HearthError, QueueFull
from webapp.generation import FinishReason

log = logging.getLogger(__name__)

IDLE_WAIT_SECONDS = 0.5
SILENT_SECONDS = 15.0
AFTER_FAILURE_SECONDS = 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Submit:
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Cancel:
    request_id: str


@dataclass(frozen=True, slots=True)
class Configure:
    limits: Limits


@dataclass(frozen=True, slots=True)
class Stop:
    """Fail what still runs and end the thread."""


Command = Submit | Cancel | Configure | Stop


class Engine:
    """Construct, `start()`, `submit()`; or leave the thread out and call `step()` by hand."""

    def __init__(self, pool: Pool, limits: Limits, clock: Callable[[], float] = time.monotonic):
        self._pool = pool
        self._limits = limits
        self._clock = clock
        self._scheduler = Scheduler()
        self._inbox: SimpleQueue[Command] = SimpleQueue()
        self._live: dict[str, Sequence] = {}
        self._admission = threading.Lock()
        self._publisher = Publisher(pool, clock)
        self._heartbeat = clock()
        self._accepting = True
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # Any thread

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; its outbox gets the answer. Raises QueueFull or EngineStopped at once."""
        with self._admission:
            if not self._accepting:
                raise EngineStopped("Hearth is shutting down.")
            same_model = sum(other.model.id == sequence.model.id for other in list(self._live.values()))
            if same_model >= self._limits.batch_size + self._limits.max_waiting:
                raise QueueFull(f"The queue is full: {same_model} requests are running or waiting.")
            self._live[sequence.id] = sequence
            self._inbox.put(Submit(sequence))  # under the lock, so that no cancel gets ahead of it

    def cancel(self, request_id: str) -> bool:
        """End a request wherever it is; False when there is none of that id."""
        if request_id not in self._live:
            return False
        self._inbox.put(Cancel(request_id))
        return True

    def configure(self, limits: Limits) -> None:
        """Obey new limits from the next step on; running sequences are never cut off."""
        self._inbox.put(Configure(limits))

    @property
    def snapshot(self) -> Snapshot:
        return self._publisher.snapshot

    def health(self) -> Health:
        """From the heartbeat of the thread, not from its existence."""
        silent = self._clock() - self._heartbeat
        if not self._thread.is_alive():
            return Health(False, "The engine thread is not running.")
        if silent > SILENT_SECONDS:
            return Health(False, f"The engine has not stepped for {silent:.0f} s.")
        return Health(True)

    def start(self) -> None:
        self._thread.start()

    def drain(self, grace_seconds: float) -> None:
        """Refuse new requests and wait for the running ones, at most `grace_seconds`."""
        with self._admission:
            self._accepting = False
        deadline = time.monotonic() + grace_seconds
        while self._live and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        """End the thread; what still runs fails with EngineStopped."""
        with self._admission:
            self._accepting = False
        self._inbox.put(Stop())
        if self._thread.is_alive():
            self._thread.join(5)

    # Engine thread

    def step(self) -> bool:
        """Obey commands, load a slice, admit, and let every model with work take one step.

        Returns whether there was anything to do.
        """
        obeyed = self._obey_all()
        loading = self._pool.advance()
        for model_id in self._scheduler.models():
            self._admit(model_id)
        with_work = [runner for _, runner in self._pool.runners() if runner.sequences()]
        for runner in with_work:
            self._step(runner)
        busy = bool(obeyed or loading or with_work)
        self._pool.trim_prefix_caches(self._limits.prefix_cache_bytes)
        self._publisher.publish(self._live.values(), going_idle=not busy)
        self._heartbeat = self._clock()
        return busy

    def _run(self) -> None:
        while not self._stopped:
            try:
                if not self.step():
                    self._await_command()
            except Exception:
                log.exception("the engine loop failed; it goes on")
                time.sleep(AFTER_FAILURE_SECONDS)
        self._end_all(EngineStopped("Hearth is shutting down."))
        self._pool.close()

    def _await_command(self) -> None:
        try:
            self._obey(self._inbox.get(timeout=IDLE_WAIT_SECONDS))
        except Empty:
            pass

    def _obey_all(self) -> bool:
        obeyed = False
        while not self._inbox.empty():
            self._obey(self._inbox.get())
            obeyed = True
        return obeyed

    def _obey(self, command: Command) -> None:
        match command:
            case Submit(sequence):
                self._pool.lease(sequence.model)
                self._scheduler.add(sequence)
                self._publisher.changed()
            case Cancel(request_id):
                self._cancel(request_id)
            case Configure(limits):
                self._limits = limits
                self._publisher.changed()
            case Stop():
                self._stopped = True

    def _cancel(self, request_id: str) -> None:
        sequence = self._live.get(request_id)
        if sequence is None:
            return
        if not self._scheduler.remove(sequence):
            for _, runner in self._pool.runners():
                self._attempt(runner, partial(runner.cancel, sequence))
        self._end(sequence, "cancelled")

    def _admit(self, model_id: str) -> None:
        try:
            runner = self._pool.want(model_id)
        except HearthError as error:
            for sequence in self._scheduler.take_all(model_id):
                self._fail(sequence, error)
            return
        if runner is None:
            return
        while joining := self._scheduler.next_for(model_id, runner.sequences(), self._limits.batch_size):
            self._admit_one(runner, joining)

    def _admit_one(self, runner: Runner, sequence: Sequence) -> None:
        try:
            runner.admit(sequence)
        except Exception as error:
            log.exception("request %s could not be admitted", sequence.id)
            self._fail(sequence, error if isinstance(error, HearthError) else EngineFailed("The prompt was refused."))
            return
        sequence.state = "prefill"
        self._report_progress(sequence, sequence.cached_tokens)
        self._publisher.changed()

    def _step(self, runner: Runner) -> None:
        limits = self._limits
        outputs = self._attempt(runner, partial(runner.step, limits.prefill_tokens, limits.stall_seconds)) or []
        for output in outputs:
            self._deliver(output)

    def _attempt(self, runner: Runner, work: Callable[[], T]) -> T | None:
        """Do something to a batch; if that breaks it, rebuild it, and everyone in it is told."""
        try:
            return work()
        except Exception:
            log.exception("a batch broke; it is rebuilt")
        for sequence in runner.sequences():
            self._fail(sequence, EngineFailed("The engine failed while computing this answer. Please try again."))
        runner.reset()
        return None

    def _deliver(self, output: Output) -> None:
        match output:
            case Decoded(sequence, token):
                sequence.completion_tokens += 1
                sequence.outbox.put(Token(token))
                self._publisher.count_token()
            case Finished(sequence, reason):
                self._end(sequence, reason)
            case Prefilled(sequence, done_tokens):
                self._report_progress(sequence, done_tokens)

    def _report_progress(self, sequence: Sequence, done_tokens: int) -> None:
        total = len(sequence.prompt.tokens)
        if done_tokens >= total:
            sequence.state = "decode"
        sequence.outbox.put(Progress(done_tokens, total))

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        if self._forget(sequence):
            sequence.outbox.put(End(reason))

    def _fail(self, sequence: Sequence, error: HearthError) -> None:
        if self._forget(sequence):
            sequence.outbox.put(Failed(error))

    def _forget(self, sequence: Sequence) -> bool:
        """False when it was already over, as when a cancel found the batch broken."""
        if self._live.pop(sequence.id, None) is None:
            return False
        self._pool.release(sequence.model.id)
        self._publisher.changed()
        return True

    def _end_all(self, error: HearthError) -> None:
        self._obey_all()
        for sequence in list(self._live.values()):
            self._fail(sequence, error)
