"""Training on the CPU: mlx-lm's Qwen3 weights, with a forward pass written for speed.

MLX's own exp is slow on x86 processors, and silu, softmax and the loss are made of it; `exp` here is three times
faster. What is saved are plain Qwen3 weights. Knows nothing of words.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map
from mlx_lm.models.qwen3 import Attention, Model

from .batches import Batch

MASKED = -1e9


@dataclass(frozen=True, slots=True)
class Stage:
    """Some steps, on batches whose shapes (rows, length) take turns."""

    steps: int
    shapes: tuple[tuple[int, int], ...]

    @property
    def tokens(self) -> int:
        return sum(rows * length for rows, length in islice(cycle(self.shapes), self.steps))


@mx.custom_function
def exp(x: mx.array) -> mx.array:
    return mx.power(math.e, x)


@exp.vjp
def _exp_vjp(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return cotangent * output


def logits_of(model: Model, tokens: mx.array, positions: mx.array) -> mx.array:
    """The same sums as mlx-lm's Qwen3, for whole rows at given positions."""
    args = model.args
    rates = args.rope_theta ** (-mx.arange(0, args.head_dim, 2) / args.head_dim)
    angles = (positions[..., None] * rates)[:, None]
    turn = (mx.cos(angles), mx.sin(angles))
    mask = mx.triu(mx.full((tokens.shape[1],) * 2, MASKED), k=1)
    hidden = model.model.embed_tokens(tokens)
    for layer in model.model.layers:
        hidden = hidden + _attend(layer.self_attn, layer.input_layernorm(hidden), turn, mask)
        x = layer.post_attention_layernorm(hidden)
        gate = layer.mlp.gate_proj(x)
        hidden = hidden + layer.mlp.down_proj(gate / (1 + exp(-gate)) * layer.mlp.up_proj(x))
    return model.model.embed_tokens.as_linear(model.model.norm(hidden))


def _attend(attention: Attention, x: mx.array, turn: tuple[mx.array, mx.array], mask: mx.array) -> mx.array:
    rows, length, _ = x.shape
    heads, shared = attention.n_heads, attention.n_kv_heads
    q = attention.q_norm(attention.q_proj(x).reshape(rows, length, heads, -1)).transpose(0, 2, 1, 3)
    k = attention.k_norm(attention.k_proj(x).reshape(rows, length, shared, -1)).transpose(0, 2, 1, 3)
    v = attention.v_proj(x).reshape(rows, length, shared, -1).transpose(0, 2, 1, 3)
    q = _rotate(q * attention.scale, turn).reshape(rows, shared, heads // shared, length, -1)
    scores = q @ _rotate(k, turn)[:, :, None].swapaxes(-1, -2) + mask
    weights = exp(scores - mx.stop_gradient(scores.max(-1, keepdims=True)))
    mixed = (weights / weights.sum(-1, keepdims=True)) @ v[:, :, None]
    return attention.o_proj(mixed.reshape(rows, heads, length, -1).transpose(0, 2, 1, 3).reshape(rows, length, -1))


def _rotate(x: mx.array, turn: tuple[mx.array, mx.array]) -> mx.array:
    left, right = mx.split(x, 2, axis=-1)
    cos, sin = turn
    return mx.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)


def loss_of(model: Model, tokens: mx.array, positions: mx.array, weights: mx.array) -> mx.array:
    """Cross-entropy of each next token, by its weight."""
    logits = logits_of(model, tokens[:, :-1], positions)
    logits = logits - mx.stop_gradient(logits.max(-1, keepdims=True))
    right = mx.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    return ((mx.log(exp(logits).sum(-1)) - right) * weights).sum() / weights.sum()


class Trainer:
    """A model with its optimizer; each `step` learns from one batch."""

    def __init__(self, model: Model, peak: float):
        self.model = model
        self.peak = peak
        self.optimizer = optim.AdamW(peak, betas=[0.9, 0.98], weight_decay=0.05)
        self.gradient = nn.value_and_grad(model, loss_of)

    def step(self, batch: Batch, rate: float) -> float:
        """One update; `rate` is a share of the peak learning rate."""
        self.optimizer.learning_rate = self.peak * rate
        loss, gradients = self.gradient(self.model, *map(mx.array, (batch.tokens, batch.positions, batch.weights)))
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        self.optimizer.update(self.model, gradients)
        mx.eval(loss, self.model.parameters(), self.optimizer.state)
        return float(loss.item())


def blend(model: Model, earlier: dict[str, Any], share: float) -> None:
    """Gives the model the weighted mean of its weights and earlier ones; `share` is that of the earlier."""
    model.update(tree_map(lambda new, old: (1 - share) * new + share * old, model.parameters(), earlier))


def rate_at(step: int, total: int, decays: bool) -> float:
    """Up in 50 steps, then flat, or down to nothing."""
    return min((step + 1) / 50, max(0.01, 1 - step / total) if decays else 1.0)


def train(
    model: Model,
    stages: Iterable[Stage],
    peak: float,
    decays: bool,
    batch: Callable[[int, int], Batch],
    after: Callable[[int], None],
) -> Iterator[str]:
    """Runs the stages one after another; yields a line of progress now and then. `after` sees every step's number."""
    trainer = Trainer(model, peak)
    plan = list(chain.from_iterable(islice(cycle(stage.shapes), stage.steps) for stage in stages))
    started, smooth = time.monotonic(), 0.0
    for step, shape in enumerate(plan):
        loss = trainer.step(batch(*shape), rate_at(step, len(plan), decays))
        smooth = loss if step == 0 else 0.95 * smooth + 0.05 * loss
        after(step + 1)
        if (step + 1) % 25 == 0:
            yield f"step {step + 1}/{len(plan)} loss {smooth:.3f} {time.monotonic() - started:.0f} s"
