"""Ember's files: weights, configuration and tokenizer, in the layout that mlx-lm loads."""

import json
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.qwen3 import Model
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .lessons import Lessons
from .tokenizer import END, STOP, TEMPLATE, render, save_tokenizer, train_tokenizer

COMMON_WORDS = 350


def tokenizer_from(lessons: Lessons, count: int, settings: dict[str, object], folder: Path) -> PreTrainedTokenizerBase:
    """Learns a tokenizer from some lessons, saves it with the configuration, and opens it as Hearth will."""
    template = TEMPLATE.read_text(encoding="utf-8")
    texts = [render(template, *lessons.conversation(turns=5)) for _ in range(count)]
    tokenizer = train_tokenizer(texts, int(str(settings["vocab_size"])), COMMON_WORDS)
    ends = [tokenizer.token_to_id(STOP), tokenizer.token_to_id(END)]
    _write(folder / "config.json", {**settings, "eos_token_id": ends[0], "pad_token_id": ends[1]})
    _write(folder / "generation_config.json", {"do_sample": False, "eos_token_id": ends, "pad_token_id": ends[1]})
    save_tokenizer(tokenizer, folder, int(str(settings["max_position_embeddings"])))
    return AutoTokenizer.from_pretrained(folder)


def save_model(model: Model, path: Path, dtype: mx.Dtype = mx.float32) -> None:
    weights = {name: value.astype(dtype) for name, value in tree_flatten(model.parameters())}
    mx.save_safetensors(str(path), weights, metadata={"format": "mlx"})


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
