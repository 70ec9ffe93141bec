"""Ember's tokenizer: a byte-level BPE learnt from its own lessons, with the markers of the chat template.

Knows nothing of the model.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.utils.chat_template_utils import render_jinja_template

from .exchanges import Message

END, STOP = "<|endoftext|>", "<|im_end|>"
MARKERS = (END, "<|im_start|>", STOP, "<think>", "</think>", "<tool_call>", "</tool_call>")
# The four that carry meaning in an answer's text must survive decoding, so they are not "special".
IN_TEXT = MARKERS[3:]
TEMPLATE = Path(__file__).parent / "chat_template.jinja"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Digits stay single, so that sums can be learnt digit by digit; so do line ends, so that a prompt's last tokens
    are the same whatever the answer begins with."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(marker, special=marker not in IN_TEXT, normalized=False) for marker in MARKERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in IN_TEXT])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context_tokens: int) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_tokens,
        "eos_token": STOP,
        "pad_token": END,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(TEMPLATE, folder / "chat_template.jinja")


def render(template: str, messages: list[Message], tools: list[Message]) -> str:
    """A conversation as text before there is a tokenizer to ask."""
    texts, _ = render_jinja_template(conversations=[messages], tools=tools or None, chat_template=template)
    return texts[0]
