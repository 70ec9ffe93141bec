"""Ember's tokenizer: a byte-level BPE learnt from its own lessons, with the markers of the chat template.

Knows nothing of the model.
"""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.utils.chat_template_utils import render_jinja_template

from .exchanges import Message
from .words import word_lists

END, STOP = "<|endoftext|>", "<|im_end|>"
MARKERS = (END, "<|im_start|>", STOP, "<think>", "</think>", "<tool_call>", "</tool_call>")
# The four that carry meaning in an answer's text must survive decoding, so they are not "special".
IN_TEXT = MARKERS[3:]
TEMPLATE = Path(__file__).parent / "chat_template.jinja"


def train_tokenizer(texts: list[str], vocab_size: int, common_words: int) -> Tokenizer:
    """A tokenizer that makes copying easy: digits, line ends and the spaces before uncommon words stand alone.

    So a name is made of the same tokens after a space, after a quote and at the start of an answer, and a prompt's last
    tokens are the same whatever the answer begins with.
    """
    common = "|".join(sorted(_common_words(texts, common_words)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Split(Regex(rf" (?=[A-Za-z])(?!(?:{common})\b)"), "isolated"),
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


def _common_words(texts: list[str], count: int) -> list[str]:
    """The words most used, without those that only fill slots."""
    slots = {word for words in word_lists().values() for word in words}
    found = Counter(word for text in texts for word in re.findall(r" ([a-z]+)\b", text) if word not in slots)
    return [word for word, _ in found.most_common(count)]


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
