"""Training on the CPU: mlx-lm's Qwen3 weights, with a forward pass written for speed.

MLX's own exp is slow on x86 processors, and silu, softmax and the loss are made of it; `exp` here is three times
faster. What is saved are plain Qwen3 weights. Knows nothing of words.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.models.qwen3 import Attention, Model, ModelArgs

from .batches import Batch

MASKED = -1e9


@dataclass(frozen=True, slots=True)
class Stage:
    """Some steps on rows of one length."""

    steps: int
    rows: int
    length: int


@mx.custom_function
def exp(x: mx.array) -> mx.array:
    return mx.power(math.e, x)


@exp.vjp
def _exp_vjp(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return cotangent * output


def new_model(settings: dict[str, object], seed: int) -> Model:
    mx.random.seed(seed)
    model = Model(ModelArgs.from_dict(settings))
    scale = 0.02
    model.apply_to_modules(partial(_start_small, scale))
    return model


def _start_small(scale: float, name: str, module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        depth = 0.35 if name.endswith(("o_proj", "down_proj")) else 1.0
        module.weight = mx.random.normal(module.weight.shape) * scale * 1.5 * depth


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


def rate_at(step: int, total: int) -> float:
    """Up in 50 steps, flat, and down over the last third."""
    return min(1.0, (step + 1) / 50, max(0.01, (total - step) / (total / 3)))


def train(
    model: Model, stages: list[Stage], peak: float, batch: Callable[[int, int], Batch], after: Callable[[int], None]
) -> Iterator[str]:
    """Runs the stages one after another; yields a line of progress now and then. `after` sees every step's number."""
    trainer = Trainer(model, peak)
    plan = [stage for stage in stages for _ in range(stage.steps)]
    started, smooth = time.monotonic(), 0.0
    for step, stage in enumerate(plan):
        loss = trainer.step(batch(stage.rows, stage.length), rate_at(step, len(plan)))
        smooth = loss if step == 0 else 0.95 * smooth + 0.05 * loss
        after(step + 1)
        if (step + 1) % 25 == 0:
            seconds = time.monotonic() - started
            yield f"step {step + 1}/{len(plan)} length {stage.length} loss {smooth:.3f} {seconds:.0f} s"
