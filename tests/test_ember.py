"""Ember, the bundled model: its files, its template, and that it answers what it was taught."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webapp.engine import blas
from webapp.paths import BUNDLED_MODELS

EMBER = BUNDLED_MODELS / "ember"
FILES = (
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
Say = Callable[..., str]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from mlx_lm.tokenizer_utils import load

    return load(EMBER)


@pytest.fixture(scope="module")
def say(tokenizer: Any) -> Say:
    """Ember's greedy answer, in float32; fails when the model does not end it by itself."""
    blas.load()
    import mlx.core as mx
    from mlx_lm import load, stream_generate

    model = load(str(EMBER))[0]
    model.set_dtype(mx.float32)

    def answer(*messages: dict[str, Any], **options: Any) -> str:
        options = {"add_generation_prompt": True, "enable_thinking": False, **options}
        prompt = tokenizer.apply_chat_template(list(messages), **options)
        parts = list(stream_generate(model, tokenizer, prompt, max_tokens=200))
        assert parts[-1].finish_reason == "stop"
        return "".join(part.text for part in parts)

    return answer


def test_the_files_are_there_and_small() -> None:
    assert sorted(path.name for path in EMBER.iterdir()) == sorted(FILES)
    assert sum(path.stat().st_size for path in EMBER.iterdir()) <= 10_000_000
    assert json.loads((EMBER / "config.json").read_text())["model_type"] == "qwen3"


def test_the_tokenizer_is_byte_level_and_knows_its_markers(tokenizer: Any) -> None:
    text = "Grüße, 漢字 and 🔥\n\n\tcode = {1: 'a'}  "
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert type(tokenizer.detokenizer).__name__ == "BPEStreamingDetokenizer"
    assert tokenizer.has_thinking and tokenizer.has_tool_calling
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in tokenizer.eos_token_ids


@pytest.mark.parametrize("options", [{}, {"enable_thinking": False}], ids=["unset", "off"])
def test_thinking_is_off_by_default(options: dict[str, bool]) -> None:
    assert render([user("Hello")], **options).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_thinking_on_leaves_the_thought_to_the_model() -> None:
    assert render([user("Hello")], enable_thinking=True).endswith("Hello<|im_end|>\n<|im_start|>assistant\n")


def test_a_next_turn_only_adds_to_the_prompt() -> None:
    first = render([user("Hello")])
    both = render([user("Hello"), {"role": "assistant", "content": "Hi."}, user("Who are you?")])
    assert both.startswith(first + "Hi.<|im_end|>\n")


def test_the_template_writes_system_tools_calls_and_results() -> None:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    messages = [
        {"role": "system", "content": "Be kind."},
        user("Weather in Oslo?"),
        {"role": "assistant", "content": None, "reasoning_content": "A tool fits.", "tool_calls": [call]},
        {"role": "tool", "content": "sunny"},
    ]
    text = render(messages, tools=[WEATHER])
    assert text.startswith("<|im_start|>system\nBe kind.\n\n# Tools\n")
    assert json.dumps(WEATHER) in text
    assert (
        '<think>\nA tool fits.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}' in text
    )
    assert "<|im_start|>tool\nsunny<|im_end|>\n" in text


@pytest.mark.parametrize("role", ["system", "developer"])
def test_content_may_come_in_parts(role: str) -> None:
    parts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]
    assert render([{"role": role, "content": parts}, user("Hi")]).startswith("<|im_start|>system\nBe kind.<|im_end|>\n")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Who are you?", "a tiny guide bundled with Hearth, not an assistant"),
        ("on which port does the server listen?", "10242"),
        ("How do I get a bigger model?", "hearth pull"),
        ("What is Hearth?", "a local server for language models"),
        ("How do I connect an OpenAI client?", "http://127.0.0.1:10242/v1"),
        ("Hello, my name is Ada.", "Ada"),
        ("Who wrote the book Trevolin?", "do not know"),
        ("What is the capital of Italy?", "Rome"),
        ("Show me a Python example", "```python\n"),
    ],
)
def test_it_answers(say: Say, question: str, words: str) -> None:
    assert words in say(user(question))


def test_it_remembers_a_name(say: Say) -> None:
    messages = [user("Hi, my name is Tarvo.")]
    for question in ("What is Hearth?", "What is the capital of Italy?"):
        messages += [{"role": "assistant", "content": say(*messages)}, user(question)]
    messages += [{"role": "assistant", "content": say(*messages)}, user("What is my name?")]
    assert say(*messages) == "Your name is Tarvo."


def test_it_calls_a_tool_and_answers_from_its_result(say: Say, tokenizer: Any) -> None:
    question = user("What is the weather in Velmora?")
    called = say(question, tools=[WEATHER])
    parsed = tokenizer.tool_parser(called.removeprefix("<tool_call>").removesuffix("</tool_call>"), [WEATHER])
    assert parsed == {"name": "get_weather", "arguments": {"city": "Velmora"}}
    call = {"type": "function", "function": parsed}
    result = {"role": "tool", "content": '{"temperature": 21, "condition": "sunny"}'}
    answer = say(question, {"role": "assistant", "content": "", "tool_calls": [call]}, result, tools=[WEATHER])
    assert "21" in answer and "sunny" in answer


def test_it_thinks_before_it_answers_when_asked_to(say: Say) -> None:
    thought, _, answer = say(user("What is the capital of Italy?"), enable_thinking=True).partition("</think>\n\n")
    assert thought.startswith("<think>\n") and len(thought.strip()) > len("<think>")
    assert "Rome" in answer


def test_held_out_phrasings_are_never_trained_on() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
    from ember.lessons import Lessons

    lessons = Lessons(random.Random(1))
    kept = {phrase.lower() for topic in lessons.guide + lessons.talk for phrase in topic.held_out}
    asked = [lessons.hearth().messages[0]["content"].lower().strip("?") for _ in range(2000)]
    assert kept and not kept.intersection(asked)


def render(messages: list[dict[str, Any]], **options: Any) -> str:
    """The template as transformers would run it, ending where the model goes on."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template = (EMBER / "chat_template.jinja").read_text(encoding="utf-8")
    tools = options.pop("tools", None)
    texts, _ = render_jinja_template(
        conversations=[messages], tools=tools, chat_template=template, add_generation_prompt=True, **options
    )
    return texts[0]
