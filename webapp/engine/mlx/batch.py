"""A loaded model that steps: mlx-lm's BatchGenerator behind the engine's Runner protocol.

Engine thread only. The scheduler says who comes in; BatchGenerator does the arithmetic.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence as Seq
from itertools import pairwise
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import BatchGenerator, StopSequences
from mlx_lm.models.cache import make_prompt_cache

from webapp.engine.mlx import device
from webapp.engine.mlx.cache.prefix_cache import PrefixCache
from webapp.engine.mlx.embedder import Embedder, Pooling
from webapp.engine.mlx.kv import KvSize
from webapp.engine.mlx.rows import Row, Rows, Sampled
from webapp.engine.runner import Broken, Decoded, Embedded, Finished, Output, Prefilled
from webapp.engine.sequence import Likelihood, Sequence

# How many steps of prefill a burst of prompts may take before the first of them answers.
BURST_STEPS = 4
# A cancelled prefill must be gone within half a second.
LONGEST_CHUNK_SECONDS = 0.2
MOST_PREFILLING = 32
MOST_DECODING = 256
# Instead of minus infinity, which JSON cannot say.
NEVER = -9999.0


class PrefillSpeed:
    """How many prompt tokens fit into a span of time, learnt from each step."""

    FIRST_TOKENS_PER_SECOND = 512.0
    SMALLEST_CHUNK = 32

    def __init__(self) -> None:
        self.tokens_per_second = self.FIRST_TOKENS_PER_SECOND

    def tokens_in(self, seconds: float) -> int:
        return max(self.SMALLEST_CHUNK, int(self.tokens_per_second * seconds))

    def learn(self, tokens: int, seconds: float, target_seconds: float) -> None:
        """A quick step that was short of tokens tells nothing; one odd step does not count for much."""
        if tokens < 0.75 * self.tokens_in(target_seconds) and seconds <= target_seconds:
            return
        change = tokens / max(seconds, 1e-4) / self.tokens_per_second
        self.tokens_per_second *= min(2.0, max(0.7, change))


class MlxRunner:
    def __init__(
        self, model: nn.Module, weights_bytes: int, kv_size: KvSize, pooling: Pooling, prefix_cache: PrefixCache
    ):
        self.weights_bytes = weights_bytes
        self._pooling = pooling
        self._kv_size = kv_size
        self._model = model
        self._prefix_cache = prefix_cache
        self._prefill_speed = PrefillSpeed()
        self._decode_seconds = 0.0
        self.reset()

    def reset(self) -> None:
        sampled = Sampled(self._model)
        self._batch = BatchGenerator(
            sampled,
            sampler=sampled.sample,
            completion_batch_size=MOST_DECODING,
            prefill_batch_size=MOST_PREFILLING,
        )
        self._embedder = Embedder(self._model, self._pooling)
        self._sequences: dict[int, Sequence] = {}
        self._uids: dict[Sequence, int] = {}
        self._done_tokens: dict[Sequence, int] = {}

    def sequences(self) -> Seq[Sequence]:
        return (*self._uids, *self._embedder.sequences())

    @property
    def kv_bytes(self) -> int:
        return int(self._batch.prompt_cache_nbytes)

    def kv_bytes_for(self, lengths: Seq[int]) -> int:
        return self._kv_size.bytes_for(lengths)

    @property
    def prefix_cache_bytes(self) -> int:
        return self._prefix_cache.nbytes

    def admit(self, sequence: Sequence) -> None:
        if sequence.embeds:
            self._embedder.add(sequence)
            return
        tokens = sequence.prompt.tokens
        layers, cached = self._prefix_cache.fetch(tokens)
        row = self._row(sequence)
        [uid] = self._batch.insert_segments(
            [self._segments(sequence, cached)],
            max_tokens=[sequence.max_tokens],
            caches=[[*(layers or make_prompt_cache(self._model)), Rows([row])]],
            all_tokens=[list(tokens[:cached])],
            stop_sequences=[StopSequences([[token] for token in sequence.eos_ids])],
        )
        sequence.cached_tokens = cached
        self._sequences[uid] = sequence
        self._uids[sequence] = uid

    def _row(self, sequence: Sequence) -> Row:
        sampling = sequence.sampling
        seed = sampling.seed if sampling.seed is not None else random.getrandbits(64)
        counted = sequence.prompt.tokens if sampling.repetition_penalty != 1 else ()
        return Row(sampling, seed, counted, sequence.constraint, sequence.eos_ids)

    def _segments(self, sequence: Sequence, cached: int) -> list[list[int]]:
        """The prompt after its cached part. KV that cannot be cut back needs a stop at each checkpoint."""
        tokens = sequence.prompt.tokens
        last = len(tokens) - 1
        checkpoints = () if self._kv_size.can_cut(len(tokens)) else sequence.prompt.checkpoints
        cuts = [cached, *(cut for cut in checkpoints if cached < cut < last), last, len(tokens)]
        return [list(tokens[start:end]) for start, end in pairwise(cuts) if start < end]

    def step(self, prefill_tokens: int, stall_seconds: float) -> list[Output]:
        prefilling = [sequence for sequence in self._uids if sequence.state != "decode"]
        decoding = len(self._uids) - len(prefilling)
        target_seconds = self._prefill_seconds(len(prefilling), decoding, stall_seconds)
        budget = min(prefill_tokens, self._prefill_speed.tokens_in(target_seconds))
        outputs = self._generate(prefilling, decoding, budget, target_seconds) if self._uids else []
        if self._embedder.sequences():
            outputs += [Embedded(sequence, vector) for sequence, vector in self._embedder.step(budget)]
        return outputs

    def _generate(self, prefilling: Seq[Sequence], decoding: int, budget: int, target_seconds: float) -> list[Output]:
        """One decode step and one chunk of prefill."""
        self._plan_prefill(prefilling, budget, BURST_STEPS if len(prefilling) > decoding else 1)
        started = time.perf_counter()
        with self._batch.stats() as stats:
            prompts, answers = self._batch.next()
        seconds = time.perf_counter() - started
        if stats.prompt_tokens:
            decode_seconds = self._decode_seconds if decoding else 0.0
            self._prefill_speed.learn(stats.prompt_tokens, seconds - decode_seconds, target_seconds)
        elif answers:
            self._decode_seconds += 0.2 * (seconds - self._decode_seconds)
        outputs = [output for answer in answers for output in self._answered(answer)]
        outputs += self._broken()
        return outputs + [output for prompt in prompts for output in self._prefilled(prompt)]

    def _broken(self) -> list[Output]:
        """Take out who can no longer be kept to a grammar."""
        outputs: list[Output] = []
        for sequence in tuple(self._uids):
            if sequence.constraint is not None and sequence.constraint.broken:
                self.cancel(sequence)
                outputs.append(Broken(sequence, sequence.constraint.broken))
        return outputs

    def _prefill_seconds(self, prefilling: int, decoding: int, stall_seconds: float) -> float:
        """How long this step's prefill may take; twice the allowed pause while more wait than are answered."""
        if decoding == 0:
            return LONGEST_CHUNK_SECONDS
        return min(LONGEST_CHUNK_SECONDS, stall_seconds * (2 if prefilling > decoding else 1))

    def _plan_prefill(self, prefilling: Seq[Sequence], budget_tokens: int, steps: int) -> None:
        """Share a step's tokens among the first prompts that fill `steps` of them.

        Two at least, so that a short one overtakes. A burst, more prompts than answers, is computed abreast: a decode
        step costs nearly the same for one row as for many, so its rows had better start together.
        """
        prompts = total = 0
        for sequence in prefilling[:MOST_PREFILLING]:
            total += len(sequence.prompt.tokens) - self._done_tokens.get(sequence, sequence.cached_tokens)
            prompts += 1
            if total >= budget_tokens * steps and prompts >= 2:
                break
        self._batch.prefill_batch_size = prompts
        self._batch.prefill_step_size = budget_tokens if total <= budget_tokens else max(1, budget_tokens // prompts)

    def _prefilled(self, prompt: Any) -> list[Output]:
        sequence = self._sequences.get(prompt.uid)
        if sequence is None:
            return []
        done, _ = prompt.progress
        if prompt.end_of_segment and not prompt.end_of_prompt:
            self._keep(prompt.uid)
        self._done_tokens[sequence] = sequence.cached_tokens + done
        return [Prefilled(sequence, sequence.cached_tokens + done)]

    def _answered(self, answer: Any) -> list[Output]:
        sequence = self._sequences.get(answer.uid)
        if sequence is None:
            return []
        outputs: list[Output] = []
        if answer.finish_reason != "stop":
            outputs.append(Decoded(sequence, answer.token, likelihood(answer, sequence.top_logprobs)))
        if answer.finish_reason is not None:
            self._forget(sequence)
            self._prefix_cache.store(answer.all_tokens, answer.prompt_cache[:-1])
            outputs.append(Finished(sequence, answer.finish_reason))
        return outputs

    def _keep(self, uid: int) -> None:
        """Put a sequence's KV as it stands into the prefix cache."""
        with mx.stream(self._batch.stream):
            for layers, tokens in self._batch.extract_cache([uid]).values():
                self._prefix_cache.store(tokens, layers[:-1])

    def cancel(self, sequence: Sequence) -> None:
        self._embedder.cancel(sequence)
        uid = self._uids.get(sequence)
        if uid is None:
            return
        if sequence.state != "waiting":
            self._keep(uid)
        with mx.stream(self._batch.stream):
            self._batch.remove([uid])
        self._forget(sequence)

    def _forget(self, sequence: Sequence) -> None:
        self._sequences.pop(self._uids.pop(sequence))
        self._done_tokens.pop(sequence, None)

    def close(self) -> None:
        self._batch.close()
        del self._model, self._batch, self._embedder
        self._prefix_cache.clear()
        device.release_memory()


def likelihood(answer: Any, top: int | None) -> Likelihood | None:
    """Of a token as it was sampled: after penalties, bias and grammar, before temperature."""
    if top is None:
        return None
    logprobs = mx.maximum(answer.logprobs.astype(mx.float32), NEVER)
    best = mx.argsort(-logprobs)[:top]
    own, ids, values = logprobs[answer.token], best.tolist(), logprobs[best].tolist()
    return Likelihood(float(own.item()), tuple(zip(ids, values, strict=True)))  # type: ignore[arg-type]
