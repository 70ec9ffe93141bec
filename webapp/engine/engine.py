"""The engine: an inbox of typed commands, `step()`, and the one thread that calls it.

Everything MLX happens inside `step()`. Other threads only post commands, empty outboxes, and read
the published snapshot.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from webapp.engine.commands import Cancel, Command, Configure, Load, Stop, Submit, Unload
from webapp.engine.limits import Limits
from webapp.engine.pool.budget import NoRoom
from webapp.engine.pool.pool import Pool, requests
from webapp.engine.prefill import PrefillPolicy
from webapp.engine.publisher import Publisher
from webapp.engine.runner import Broken, Decoded, Embedded, Finished, Output, Prefilled, Runner
from webapp.engine.scheduler import Scheduler
from webapp.engine.sequence import End, Failed, Progress, Sequence, Token, Vector
from webapp.engine.snapshot import Health, Snapshot
from webapp.engine.timeouts import overdue
from webapp.errors import EngineFailed, EngineStopped, HearthError, OutOfMemory, QueueFull
from webapp.generation import Canceller, Edition, FinishReason, InstalledModel
from webapp.sizes import size

log = logging.getLogger(__name__)

IDLE_WAIT_SECONDS = 0.5
SILENT_SECONDS = 15.0
AFTER_FAILURE_SECONDS = 0.05
TIMEOUTS_EVERY_SECONDS = 0.05

T = TypeVar("T")


def random_seed() -> int:
    return random.getrandbits(64)


class Engine:
    """Construct, `start()`, `submit()`; or leave the thread out and call `step()` by hand."""

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        draw_seed: Callable[[], int] = random_seed,
    ):
        self._pool = pool
        self._limits = limits
        self._clock = clock
        self._draw_seed = draw_seed
        self._scheduler = Scheduler()
        self._inbox: SimpleQueue[Command] = SimpleQueue()
        self._live: dict[str, Sequence] = {}
        self._without_room: Sequence | None = None
        self._admission = threading.Lock()
        self._publisher = Publisher(pool, clock)
        self._heartbeat = self._timeouts_checked = clock()
        self._accepting = True
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # Any thread

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; its outbox receives the answer. Raises QueueFull or EngineStopped at once."""
        with self._admission:
            if not self._accepting:
                raise EngineStopped("Hearth is shutting down.")
            same_model = sum(other.model.id == sequence.model.id for other in list(self._live.values()))
            if same_model >= self._limits.batch_size + self._limits.max_waiting:
                raise QueueFull(f"The queue is full: {same_model} requests are running or waiting.")
            self._live[sequence.id] = sequence
            self._inbox.put(Submit(sequence))

    def cancel(self, sequence_id: str, by: Canceller = "client") -> bool:
        """End a sequence, waiting or running; False when no sequence has that id."""
        return self._cancel_where(lambda each: each.id == sequence_id, by)

    def cancel_request(self, request_id: str, by: Canceller, may_cancel: Callable[[str | None], bool]) -> bool:
        """End all parts of a request, or the one part with this id, if `may_cancel` is true for their owner.

        False when there is nothing to end.
        """
        return self._cancel_where(lambda each: request_id in (each.request_id, each.id) and may_cancel(each.owner), by)

    def _cancel_where(self, fits: Callable[[Sequence], bool], by: Canceller) -> bool:
        with self._admission:  # each live sequence is in the inbox by then, so the cancel comes after it
            found = [sequence.id for sequence in list(self._live.values()) if fits(sequence)]
        for sequence_id in found:
            self._inbox.put(Cancel(sequence_id, by))
        return bool(found)

    def configure(self, limits: Limits) -> Future[list[str]]:
        """Obey new limits from the next step on; running sequences go on. The future gives sentences on the effects."""
        command = Configure(limits)
        self._inbox.put(command)
        return command.effects

    def load(self, model: InstalledModel) -> Future[None]:
        """Load a model as soon as there is room. The future raises the reason when loading fails."""
        command = Load(model)
        self._inbox.put(command)
        return command.done

    def unload(self, model_id: str) -> Future[str]:
        """Unload a model after its requests. The future gives a sentence about what happens, or raises Conflict."""
        command = Unload(model_id)
        self._inbox.put(command)
        return command.effect

    @property
    def snapshot(self) -> Snapshot:
        return self._publisher.snapshot

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def health(self) -> Health:
        """Whether the engine thread still steps: judged by its heartbeat, not by whether the thread exists."""
        silent = self._clock() - self._heartbeat
        if not self.running:
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
        if self.running:
            self._thread.join(5)

    # Engine thread

    def step(self) -> bool:
        """Obey commands, load a slice, admit, and let every model with work take one step.

        Returns whether there was anything to do.
        """
        obeyed = self._obey_all()
        if loaded := self._pool.advance():
            self._scheduler.share_turn(loaded)
        self._end_overdue()
        self._admit_waiting()
        with_work = [(runner, policy) for runner, policy in self._pool.runners() if runner.sequences()]
        for runner, policy in with_work:
            self._step(runner, policy)
        busy = bool(obeyed or loaded or self._pool.loading or with_work)
        if self._pool.settle():
            self._publisher.changed()
        self._publisher.publish(self._live.values(), at_once=not busy or self._pool.has_news)
        self._pool.tell()
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
            case Cancel(sequence_id, by):
                self._cancel(sequence_id, by)
            case Configure(limits, effects):
                self._reply(effects, partial(self._configure, limits))
            case Load(model, done):
                self._pool.load(model, done)
                self._publisher.changed()
            case Unload(model_id, effect):
                self._reply(effect, partial(self._pool.unload, model_id, self._scheduler.newest_ticket))
            case Stop():
                self._stopped = True

    def _reply(self, future: Future[T], work: Callable[[], T]) -> None:
        """Do a command, publish a snapshot that shows its effect, then give the future its result or HearthError."""
        result = error = None
        try:
            result = work()
        except HearthError as refusal:
            error = refusal
        self._publisher.publish(self._live.values(), at_once=True)
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(T, result))

    def _configure(self, limits: Limits) -> list[str]:
        """Obey new limits; returns sentences about what happened and what still has to happen."""
        self._limits = limits
        effects = self._pool.configure(limits.pool)
        over_bytes = self._pool.budget.used_bytes - self._pool.budget.limit_bytes
        if over_bytes > 0:
            running = sum(len(runner.sequences()) for runner, _ in self._pool.runners())
            cause = f"waiting for {requests(running)}" if running else "which pinned models hold"
            effects.append(f"Over the limit by {size(over_bytes)}, {cause}.")
        if waiting := self._scheduler.waiting:
            effects.append(f"Waiting: {requests(waiting)}.")
        return effects

    def _cancel(self, sequence_id: str, by: Canceller) -> None:
        sequence = self._live.get(sequence_id)
        if sequence is None:
            return
        sequence.cancelled_by = by
        self._take_out(sequence)
        self._end(sequence, "cancelled")

    def _take_out(self, sequence: Sequence) -> None:
        """Remove a sequence from the queue, or from its batch."""
        if not self._scheduler.remove(sequence):
            for runner, _ in self._pool.runners():
                self._attempt(runner, partial(runner.cancel, sequence))

    def _end_overdue(self) -> None:
        now = self._clock()
        if now - self._timeouts_checked < TIMEOUTS_EVERY_SECONDS:
            return
        self._timeouts_checked = now
        for sequence in list(self._live.values()):
            if error := overdue(sequence, self._limits.timeouts, now):
                self._take_out(sequence)
                self._fail(sequence, error)

    def _admit_waiting(self) -> None:
        """Admit in order of arrival. One without memory holds up all behind it, or they would always take it."""
        if self._without_room is not None:
            self._without_room.refusal = None
            self._without_room = None
        passed: set[Edition] = set()
        while first := self._scheduler.oldest(passed):
            try:
                if not self._admit_next(first):
                    passed.add(first.model.edition)
            except NoRoom:
                return

    @contextmanager
    def _marking(self, asking: Sequence) -> Iterator[None]:
        """Mark the sequence as waiting for memory when NoRoom is raised, until the next attempt to admit it."""
        try:
            yield
        except NoRoom as no_room:
            asking.refusal, self._without_room = no_room.refusal, asking
            raise

    def _admit_next(self, first: Sequence) -> bool:
        """Admit one sequence for the model that `first` waits for; False when nobody can join it now."""
        edition = first.model.edition
        try:
            with self._marking(first):
                runner = self._pool.want(first)
        except HearthError as error:
            for sequence in self._scheduler.take_all(edition):
                self._fail(sequence, error)
            return True
        if runner is None:
            return False
        joining = self._scheduler.next_for(edition, runner.sequences(), self._limits.batch_size)
        if joining is None:
            return False
        try:
            with self._marking(joining):
                self._pool.reserve(joining)
        except OutOfMemory as error:
            self._scheduler.remove(joining)
            self._fail(joining, error)
            return True
        self._scheduler.remove(joining)
        self._admit_one(runner, joining)
        return True

    def _admit_one(self, runner: Runner, sequence: Sequence) -> None:
        seed = sequence.sampling.seed
        sequence.seed = self._draw_seed() if seed is None else seed
        try:
            sequence.cached_tokens = runner.admit(sequence)
        except Exception as error:
            log.exception("request %s could not be admitted", sequence.id)
            self._fail(sequence, error if isinstance(error, HearthError) else EngineFailed("The prompt was refused."))
            return
        sequence.state, sequence.timeouts, sequence.refusal = "prefill", self._limits.timeouts, None
        self._report_progress(sequence, sequence.cached_tokens)
        self._publisher.changed()

    def _step(self, runner: Runner, policy: PrefillPolicy) -> None:
        plan = policy.plan(runner.sequences(), self._limits.prefill_tokens, self._limits.stall_seconds)
        step = self._attempt(runner, partial(runner.step, plan))
        if step is None:
            return
        policy.learn(plan, step.work)
        for output in step.outputs:
            self._deliver(output)

    def _attempt(self, runner: Runner, work: Callable[[], T]) -> T | None:
        """Do something to a batch; if that raises, reset the batch and fail every sequence that was in it."""
        broken = runner.sequences()  # read before: a sequence that ends in a broken step has left the batch
        try:
            return work()
        except Exception:
            log.exception("a batch broke; it is rebuilt")
        runner.reset()
        for sequence in broken:
            self._fail(sequence, EngineFailed("The engine failed while computing this answer. Please try again."))
        return None

    def _deliver(self, output: Output) -> None:
        match output:
            case Decoded(sequence, token, likelihood):
                sequence.completion_tokens += 1
                sequence.first_token = sequence.first_token or self._clock()
                sequence.outbox.put(Token(token, likelihood))
                self._publisher.count_token()
            case Finished(sequence, reason):
                self._end(sequence, reason)
            case Embedded(sequence, vector):
                sequence.outbox.put(Vector(vector))
                self._end(sequence, "stop")
            case Broken(sequence, reason):
                self._fail(sequence, EngineFailed(f"The answer could not be kept to its grammar: {reason}"))
            case Prefilled(sequence, done_tokens):
                self._report_progress(sequence, done_tokens)

    def _report_progress(self, sequence: Sequence, done_tokens: int) -> None:
        total = len(sequence.prompt.tokens)
        sequence.done_tokens = done_tokens
        if done_tokens >= total:
            sequence.state = "decode"
        sequence.outbox.put(Progress(done_tokens, total))

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        if self._forget(sequence):
            sequence.outbox.put(End(reason))

    def _fail(self, sequence: Sequence, error: HearthError) -> None:
        """End a sequence with a copy of the error, so that each request's thread raises its own."""
        if self._forget(sequence):
            sequence.outbox.put(Failed(error.again()))

    def _forget(self, sequence: Sequence) -> bool:
        """Release a live sequence; False when it had already ended, as when a cancel found the batch broken."""
        if self._live.pop(sequence.id, None) is None:
            return False
        self._pool.release(sequence)
        self._publisher.changed()
        return True

    def _end_all(self, error: HearthError) -> None:
        self._obey_all()
        for sequence in list(self._live.values()):
            self._fail(sequence, error)
