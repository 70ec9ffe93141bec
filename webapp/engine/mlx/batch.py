"""A loaded model that steps: mlx-lm's BatchGenerator behind the engine's Runner protocol.

Engine thread only. The engine decides, in a Plan for each step; BatchGenerator does the arithmetic.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq
from dataclasses import replace
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
from webapp.engine.prefill import Plan, Work
from webapp.engine.runner import Broken, Decoded, Finished, Output, Prefilled, Step
from webapp.engine.sequence import Likelihood, Sequence

MOST_DECODING = 256
# Stands for minus infinity, which JSON cannot express.
NEVER = -9999.0


class MlxRunner:
    def __init__(
        self, model: nn.Module, weights_bytes: int, kv_size: KvSize, pooling: Pooling, prefix_cache: PrefixCache
    ):
        self.weights_bytes = weights_bytes
        self._pooling = pooling
        self._kv_size = kv_size
        self._model = model
        self._prefix_cache = prefix_cache
        self.reset()

    def reset(self) -> None:
        sampled = Sampled(self._model)
        self._batch = BatchGenerator(
            sampled,
            sampler=sampled.sample,
            completion_batch_size=MOST_DECODING,
        )
        self._embedder = Embedder(self._model, self._pooling)
        self._sequences: dict[int, Sequence] = {}
        self._uids: dict[Sequence, int] = {}

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

    def admit(self, sequence: Sequence) -> int:
        if sequence.embeds:
            self._embedder.add(sequence)
            return 0
        tokens = sequence.prompt.tokens
        layers, cached = self._prefix_cache.fetch(tokens)
        [uid] = self._batch.insert_segments(
            [self._segments(sequence, cached)],
            max_tokens=[sequence.max_tokens],
            caches=[[*(layers or make_prompt_cache(self._model)), Rows([row_of(sequence)])]],
            all_tokens=[list(tokens[:cached])],
            stop_sequences=[StopSequences([[token] for token in sequence.eos_ids])],
        )
        self._sequences[uid] = sequence
        self._uids[sequence] = uid
        return cached

    def _segments(self, sequence: Sequence, cached: int) -> list[list[int]]:
        """The prompt after its cached part, also cut at each checkpoint if its KV cannot be cut back later."""
        tokens = sequence.prompt.tokens
        last = len(tokens) - 1
        checkpoints = () if self._kv_size.can_cut(len(tokens)) else sequence.prompt.checkpoints
        cuts = [cached, *(cut for cut in checkpoints if cached < cut < last), last, len(tokens)]
        return [list(tokens[start:end]) for start, end in pairwise(cuts) if start < end]

    def step(self, plan: Plan) -> Step:
        outputs, work = self._generate(plan) if self._uids else ([], Work())
        if plan.texts and self._embedder.sequences():
            started = time.perf_counter()
            embedded, tokens = self._embedder.step(plan.texts, plan.text_tokens)
            outputs += embedded
            work = replace(work, text_tokens=tokens, text_seconds=time.perf_counter() - started)
        return Step(outputs, work)

    def _generate(self, plan: Plan) -> tuple[list[Output], Work]:
        """One decode step and one chunk of prefill."""
        self._batch.prefill_batch_size, self._batch.prefill_step_size = plan.prompts, plan.chunk_tokens
        started = time.perf_counter()
        prompts, answers, prompt_tokens = self._next(plan)
        work = Work(prompt_tokens, len(answers), time.perf_counter() - started)
        outputs = [output for answer in answers for output in self._answered(answer)]
        outputs += self._broken()
        return outputs + [output for prompt in prompts for output in self._prefilled(prompt)], work

    def _next(self, plan: Plan) -> tuple[list[Any], list[Any], int]:
        """BatchGenerator's responses for prompts, those for answers, and the number of prompt tokens it computed."""
        if not plan.prompts:  # its statistics take a hundredth of a small model's step
            return *self._batch.next(), 0
        with self._batch.stats() as stats:
            prompts, answers = self._batch.next()
        return prompts, answers, stats.prompt_tokens

    def _broken(self) -> list[Output]:
        """Take out the sequences whose grammar can no longer be enforced."""
        outputs: list[Output] = []
        for sequence in tuple(self._uids):
            if sequence.constraint is not None and sequence.constraint.broken:
                self.cancel(sequence)
                outputs.append(Broken(sequence, sequence.constraint.broken))
        return outputs

    def _prefilled(self, prompt: Any) -> list[Output]:
        sequence = self._sequences.get(prompt.uid)
        if sequence is None:
            return []
        done, total = prompt.progress  # of what was not cached
        if prompt.end_of_segment and not prompt.end_of_prompt:
            self._keep(prompt.uid)
        return [Prefilled(sequence, len(sequence.prompt.tokens) - total + done)]

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
        self._keep(uid)
        with mx.stream(self._batch.stream):
            self._batch.remove([uid])
        self._forget(sequence)

    def _forget(self, sequence: Sequence) -> None:
        self._sequences.pop(self._uids.pop(sequence))

    def close(self) -> None:
        self._batch.close()
        del self._model, self._batch, self._embedder
        self._prefix_cache.clear()
        device.release_memory()


def row_of(sequence: Sequence) -> Row:
    sampling = sequence.sampling
    counted = sequence.prompt.tokens if sampling.repetition_penalty != 1 else ()
    return Row(sampling, sequence.seed, counted, sequence.constraint, sequence.eos_ids)


def likelihood(answer: Any, top: int | None) -> Likelihood | None:
    """The likelihood of a sampled token, after penalties, bias and grammar and before temperature."""
    if top is None:
        return None
    logprobs = mx.maximum(answer.logprobs.astype(mx.float32), NEVER)
    best = mx.argsort(-logprobs)[:top]
    own, ids, values = logprobs[answer.token], best.tolist(), logprobs[best].tolist()
    return Likelihood(float(own.item()), tuple(zip(ids, values, strict=True)))  # type: ignore[arg-type]
