"""Makes random-weight models of several sizes and architectures, for tests and the bench.

They answer nonsense, but varied nonsense that does not end by itself, in a real architecture with a real tokenizer
and chat template. The same arguments always give the same files. It must not know the server.

    python tools/tiny_models.py FOLDER --architecture llama --size small
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from webapp.engine import blas

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")

CHAT_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- for tool in tools %}
{{- tool | tojson + '\\n' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + ('system' if message.role == 'developer' else message.role) + '\\n' }}
{{- message.content if message.content is string else '' }}
{%- for call in message.tool_calls or [] %}
{%- set tool_call = call.function or call %}
{{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
{{- tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}"""

TEXT = """\
The fire in the hearth burns low, and the house is quiet. Somebody reads a letter by the window, and somebody else
puts the kettle on. What is the time? It is almost ten. Where are the keys? They are on the table, beside the lamp.
A model reads a prompt one token after another and writes an answer the same way. Each token is a small piece of text:
a word, a part of a word, a comma, a number such as 42 or 1984, or a single byte. You are a helpful assistant.
Tell me a story about a river. Write a function that adds two numbers: def add(a, b): return a + b
"""
SYLLABLES = tuple(c + v + e for c in "bcdfghklmnprstvw" for v in "aeiou" for e in ("", "n", "r", "st"))


@dataclass(frozen=True, slots=True)
class Size:
    """The dimensions of a model, whatever its architecture."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "nano": Size(hidden=64, layers=2, heads=4, intermediate=192, vocabulary=512),
        "tiny": Size(hidden=192, layers=6, heads=6, intermediate=448, vocabulary=1024),
        "small": Size(hidden=512, layers=8, heads=8, intermediate=1536, vocabulary=4096),
        "medium": Size(hidden=1024, layers=8, heads=16, intermediate=3072, vocabulary=8192),
    }
)


def qwen3(size: Size, context_length: int) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "intermediate_size": size.intermediate,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads // 2,
        "head_dim": size.head_dim,
        "max_position_embeddings": context_length,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }


def llama(size: Size, context_length: int) -> dict[str, Any]:
    return qwen3(size, context_length) | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def gemma3_text(size: Size, context_length: int) -> dict[str, Any]:
    """Every second layer sees only a sliding window of 64 tokens."""
    return qwen3(size, context_length) | {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "rope_local_base_freq": 10000.0,
        "query_pre_attn_scalar": size.head_dim,
        "sliding_window": 64,
        "sliding_window_pattern": 2,
    }


def mamba2(size: Size, context_length: int) -> dict[str, Any]:
    """A state instead of keys and values: its prompt cannot be cut back to a prefix."""
    inner = 2 * size.hidden
    return {
        "architectures": ["Mamba2ForCausalLM"],
        "model_type": "mamba2",
        "hidden_size": size.hidden,
        "intermediate_size": inner,
        "num_heads": 2 * size.heads,
        "head_dim": size.head_dim,
        "state_size": 16,
        "num_hidden_layers": size.layers,
        "layer_norm_epsilon": 1e-6,
        "conv_kernel": 4,
        "n_groups": 1,
        "use_bias": False,
        "use_conv_bias": True,
        "tie_word_embeddings": False,
        "time_step_limit": [0.001, 10.0],
        "time_step_rank": "auto",
        "max_position_embeddings": context_length,
    }


def lfm2(size: Size, context_length: int) -> dict[str, Any]:
    """A hybrid: short convolutions with a state, and full attention in every second layer."""
    kinds = [("conv", "full_attention")[layer % 2] for layer in range(size.layers)]
    return qwen3(size, context_length) | {
        "architectures": ["Lfm2ForCausalLM"],
        "model_type": "lfm2",
        "norm_eps": 1e-6,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": size.hidden,
        "block_multiple_of": 16,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "block_ff_dim": size.intermediate,
        "layer_types": kinds,
        "tie_word_embeddings": True,
    }


def qwen2(size: Size, context_length: int) -> dict[str, Any]:
    """Biases on queries, keys and values."""
    return qwen3(size, context_length) | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


def olmo2(size: Size, context_length: int) -> dict[str, Any]:
    """Norms behind attention and behind the feed-forward part."""
    return qwen3(size, context_length) | {"architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2"}


def granite(size: Size, context_length: int) -> dict[str, Any]:
    """Scales of its own everywhere."""
    return qwen3(size, context_length) | {
        "architectures": ["GraniteForCausalLM"],
        "model_type": "granite",
        "logits_scaling": 1.0,
        "attention_multiplier": size.head_dim**-0.5,
        "embedding_multiplier": 1.0,
        "residual_multiplier": 1.0,
        "attention_bias": False,
        "mlp_bias": False,
    }


def phi3(size: Size, context_length: int) -> dict[str, Any]:
    """One matrix for queries, keys and values."""
    return qwen3(size, context_length) | {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3"}


def mixtral(size: Size, context_length: int) -> dict[str, Any]:
    """Four experts, two of them at a time."""
    return qwen3(size, context_length) | {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    }


ARCHITECTURES: Mapping[str, Callable[[Size, int], dict[str, Any]]] = MappingProxyType(
    {
        each.__name__: each
        for each in (
            qwen3,
            llama,
            gemma3_text,
            mamba2,
            lfm2,
            qwen2,
            olmo2,
            granite,
            phi3,
            mixtral,
        )
    }
)


def make_model(
    folder: Path,
    architecture: str = "qwen3",
    size: str = "nano",
    seed: int = 0,
    dtype: str = "float32",
    context_length: int = 4096,
) -> Path:
    """Write a model folder that mlx_lm.load reads; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(SIZES[size].vocabulary)
    config = ARCHITECTURES[architecture](SIZES[size], context_length) | {
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "bos_token_id": None,
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "torch_dtype": dtype,
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {"eos_token_id": config["eos_token_id"], "do_sample": False})
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(context_length))
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_weights(folder / "model.safetensors", config, rare_tokens(tokenizer), seed, dtype)
    return folder


def make_tokenizer(vocabulary: int) -> Tokenizer:
    """Byte-level BPE over the text above and as many made-up words as the vocabulary needs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(MARKERS),
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    choice = random.Random(vocabulary)
    words = ("".join(choice.choices(SYLLABLES, k=choice.randint(1, 3))) for _ in range(vocabulary))
    tokenizer.train_from_iterator([TEXT, " ".join(words)], trainer)
    tokenizer.add_tokens([AddedToken(marker, normalized=False) for marker in MARKERS])
    return tokenizer


def rare_tokens(tokenizer: Tokenizer) -> list[int]:
    """Tokens that should hardly ever be chosen: ends, markers, and bytes that are no ASCII text."""
    alphabet = {token: byte for byte, token in _byte_characters()}
    vocabulary = tokenizer.get_vocab()
    rare = [vocabulary[token] for token in (*SPECIALS, *MARKERS)]
    for token, number in vocabulary.items():
        byte = alphabet.get(token)
        if byte is not None and not (32 <= byte < 127 or byte == 10):
            rare.append(number)
    return sorted(rare)


def _byte_characters() -> Iterator[tuple[int, str]]:
    """GPT-2's table: the printable bytes stand for themselves, the others for code points from 256."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = 256
    for byte in range(256):
        yield byte, chr(byte if byte in printable else spare)
        spare += byte not in printable


def _tokenizer_config(context_length: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _write_weights(path: Path, config: dict[str, Any], rare: list[int], seed: int, dtype: str) -> None:
    blas.load()
    mx: Any = importlib.import_module("mlx.core")  # the BLAS must be loaded before MLX is
    tree_flatten: Any = importlib.import_module("mlx.utils").tree_flatten
    architecture: Any = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    model = architecture.Model(architecture.ModelArgs.from_dict(config))
    weights = {}
    for name, parameter in tree_flatten(model.parameters()):
        values = _values(name, parameter.shape, np.random.default_rng([seed, zlib.crc32(name.encode())]))
        if "lm_head" in name or (config["tie_word_embeddings"] and "embed_tokens" in name):
            values[rare] *= 0.05
        weights[name] = mx.array(values).astype(getattr(mx, dtype))
    mx.save_safetensors(str(path), weights, metadata={"format": "mlx"})


def _values(name: str, shape: tuple[int, ...], random_numbers: np.random.Generator) -> np.ndarray:
    """Sharp attention and blocks as strong as the embedding keep greedy answers from going in circles."""
    if name.endswith("A_log"):
        return np.log(np.linspace(1, 16, shape[0], dtype=np.float32))
    if name.endswith((".D", "dt_bias")):
        return np.ones(shape, np.float32)
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.full(shape, 2.0 if name.endswith(("q_norm.weight", "k_norm.weight")) else 1.0, np.float32)
    values = random_numbers.standard_normal(shape, dtype=np.float32)
    if "embed" in name:
        return values
    fan_in = shape[1] if len(shape) == 3 else shape[-1]
    return values * (1.5 / math.sqrt(fan_in))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a random-weight model folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="qwen3")
    parser.add_argument("--size", choices=list(SIZES), default="nano")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--context-length", type=int, default=4096)
    arguments = parser.parse_args()
    print(make_model(**vars(arguments)))


if __name__ == "__main__":
    main()
