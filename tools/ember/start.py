"""The weights that training starts from: random, but for four heads that are set up to copy.

A model of this size finds copying by itself only after thousands of steps, and answers with names and arguments it was
just told are all about copying. So two heads of the first layer begin by looking one and two tokens back, and two of
the second layer by looking for where the present tokens stood before, to repeat what followed them. Training changes
these weights like all others. Knows nothing of words.
"""

from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.qwen3 import Attention, Model, ModelArgs

SMALL = 0.03
# The spread of an embedding's numbers, and how much of all embeddings is the same: what position alone can hold on to.
EMBEDDING, COMMON = 0.05, 0.5
# Sharper attention than usual in the two layers that copy.
SHARP = 2.0
# Angles per token that tell neighbours apart, and ones that hardly change within a conversation.
FAST, SLOW = 0.3, 0.01


@dataclass(frozen=True, slots=True)
class Directions:
    """What the heads that copy share: one direction that all tokens have, and random views of the rest."""

    common: np.ndarray
    token: np.ndarray
    earlier: np.ndarray
    answer: np.ndarray


def new_model(settings: dict[str, object], seed: int) -> Model:
    mx.random.seed(seed)
    model = Model(ModelArgs.from_dict(settings))
    model.apply_to_modules(_start_small)
    rng = np.random.default_rng(seed)
    shared = _directions(model.args, rng)
    model.model.embed_tokens.weight = mx.array(_embeddings(model.args, shared, rng))
    first, second = (layer.self_attn for layer in model.layers[:2])
    _look_back(first, shared, model.args)
    _look_for_the_same(second, shared, model.args)
    for attention in (first, second):
        attention.q_norm.weight = attention.k_norm.weight = mx.full((model.args.head_dim,), SHARP)
    return model


def _start_small(name: str, module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        depth = 0.35 if name.endswith(("o_proj", "down_proj")) else 1.0
        module.weight = mx.random.normal(module.weight.shape) * SMALL * depth


def _directions(args: ModelArgs, rng: np.random.Generator) -> Directions:
    width, size = args.hidden_size, args.head_dim
    heads = args.num_attention_heads // args.num_key_value_heads
    common = np.ones(width) / np.sqrt(width)
    beside = partial(_without, common)
    token, answer = (beside(rng.standard_normal((size, width)) / np.sqrt(width)) for _ in range(2))
    earlier = beside(rng.standard_normal((heads, size, width)) / np.sqrt(size))
    return Directions(common, token, earlier, answer)


def _without(direction: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows - (rows @ direction)[..., None] * direction


def _embeddings(args: ModelArgs, shared: Directions, rng: np.random.Generator) -> np.ndarray:
    own = _without(shared.common, rng.standard_normal((args.vocab_size, args.hidden_size)))
    return (EMBEDDING * (own + COMMON * np.sqrt(args.hidden_size) * shared.common)).astype(np.float32)


def _look_back(attention: Attention, shared: Directions, args: ModelArgs) -> None:
    """The heads of the first group attend to the token before, and to the one before that, and pass on what it is."""
    size, rates = args.head_dim, _rates(args)
    q, k, v, o = _weights_of(attention)
    fast = np.where(rates > FAST, 1.0, 0.0)
    k[:size] = 0.1 * k[:size] + 0.3 * np.outer(np.concatenate([fast, 0 * fast]), shared.common)
    v[:size] = shared.token
    for head, out in enumerate(shared.earlier):
        turned = np.concatenate([fast * np.cos((head + 1) * rates), -fast * np.sin((head + 1) * rates)])
        place = slice(head * size, (head + 1) * size)
        q[place] = 0.1 * q[place] + 0.3 * np.outer(turned, shared.common)
        o[:, place] = EMBEDDING * out.T
    _set_weights(attention, q, k, v, o)


def _look_for_the_same(attention: Attention, shared: Directions, args: ModelArgs) -> None:
    """The first group attends to where the token before was the present one, and makes what stands there likelier.

    Its first head wants the token before the present one to fit as well: after a space that is what tells words apart.
    """
    size, slow = args.head_dim, np.flatnonzero(_rates(args) < SLOW)
    one = np.concatenate([slow[::2], slow[::2] + size // 2])
    two = np.concatenate([slow[1::2], slow[1::2] + size // 2])
    before = shared.earlier * np.sqrt(size / args.hidden_size)
    q, k, v, o = _weights_of(attention)
    k[:size] *= 0.1
    k[one] += before[0][one]
    k[two] += before[1][two]
    q[: 2 * size] *= 0.1
    q[one] += shared.token[one]
    q[two] += before[0][two]
    q[one + size] += shared.token[one]
    v[:size] = shared.answer
    o[:, :size] = o[:, size : 2 * size] = EMBEDDING * shared.answer.T
    _set_weights(attention, q, k, v, o)


def _rates(args: ModelArgs) -> np.ndarray:
    return np.asarray(args.rope_theta ** (-np.arange(0, args.head_dim, 2) / args.head_dim))


def _weights_of(attention: Attention) -> list[np.ndarray]:
    return [np.array(linear.weight, dtype=np.float64) for linear in _linears(attention)]


def _set_weights(attention: Attention, *weights: np.ndarray) -> None:
    for linear, weight in zip(_linears(attention), weights, strict=True):
        linear.weight = mx.array(weight.astype(np.float32))


def _linears(attention: Attention) -> tuple[nn.Linear, ...]:
    return attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj
