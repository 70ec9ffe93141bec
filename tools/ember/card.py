"""The model card, models/ember/README.md, with the numbers of the evaluation."""

from pathlib import Path

from .evaluation import Score

TEXT = """# Ember

The model that comes with Hearth: a tiny guide, not an assistant. It exists so that the first run answers at once
and so that tests have a real model with real ends of text. It knows much of how Hearth works and a few simple
facts; it tries to remember a name and to call a tool, and is wrong at both more often than right. For anything else it
says so and points to the Models page.

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
this page. All text is the project's own: `tools/ember/guide.txt` and `talk.txt` hold the topics with their phrasings
as small grammars, `words.txt`, `facts.py`, `tool_use.py` and `lessons.py` the rest. Nothing was copied from elsewhere
and no other model took part. The run is seeded (seed {seed}); another processor or BLAS may differ in the last bits.

## How well it answers

Greedy, in float32, from the stored weights. The phrasings were never trained on, and neither were the names, places
and words to copy. Right means that the whole text equals the expected answer and the model ended it by itself.

| skill | right | asked | share |
|---|---:|---:|---:|
{rows}
| **all** | **{right}** | **{asked}** | **{share:.0%}** |

## Limits

It matches questions to the topics it was taught and does not reason: a question outside them gets its honest
fallback, or now and then the wrong topic. It speaks only simple English, its sums go to 10, and its memory of names
fades in long conversations. Use it for finding your way around Hearth and for testing, and for nothing else.
"""


def write_card(folder: Path, scores: list[Score], facts: dict[str, float]) -> None:
    rows = "\n".join(f"| {score.skill} | {score.right} | {score.asked} | {score.share:.0%} |" for score in scores)
    right, asked = sum(score.right for score in scores), sum(score.asked for score in scores)
    text = TEXT.format(rows=rows, right=right, asked=asked, share=right / asked, **facts)
    (folder / "README.md").write_text(text, encoding="utf-8")
