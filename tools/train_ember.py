"""Makes Ember, the bundled model, from nothing: lessons, tokenizer, training, evaluation, model card.

python tools/train_ember.py                    everything, into models/ember (two to three hours on one core)
python tools/train_ember.py --from-course 8    ask the saved model again and rewrite its card
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ember.training import Stage

FOLDER = Path(__file__).resolve().parent.parent / "models" / "ember"
SEED = 20
LESSONS_FOR_TOKENIZER = 6000
SETTINGS = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "rms_norm_eps": 1e-6,
    "vocab_size": 1024,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "rope_theta": 1000000.0,
    "torch_dtype": "bfloat16",
}
# Shapes are (rows, length): short rows of repeated tokens to learn to copy, then lessons. Single questions fit into 104
# tokens, tool calls with their results into 240, long conversations into 400.
REPEATED_SHAPES = ((28, 64),)
LESSON_SHAPES = ((18, 104), (8, 240), (18, 104), (8, 240), (18, 104), (5, 400))
LONGER_SHAPES = ((18, 104), (8, 240), (5, 400))


@dataclass(frozen=True, slots=True)
class Course:
    """Steps on repeated tokens, then on lessons; it starts from the saved weights of the course before.

    `kept` is the share of those weights in the ones it saves: a mean of two courses answers better than either.
    """

    repeated: int
    lessons: int
    peak_rate: float
    decays: bool
    kept: float = 0.0
    shapes: tuple[tuple[int, int], ...] = LESSON_SHAPES


COURSES = (
    Course(120, 880, 2.5e-3, False),
    Course(0, 750, 2.5e-3, False),
    Course(0, 1650, 2.2e-3, True),
    Course(0, 2000, 1.8e-3, True),
    Course(0, 1200, 1.2e-3, True, 0.5),
    Course(0, 2300, 1.6e-3, True),
    Course(0, 1500, 1.2e-3, True, 0.5, LONGER_SHAPES),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the finished model")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "ember", help="folder of checkpoints"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps to take, for a quick trial")
    parser.add_argument("--per-skill", type=int, default=100, help="questions drawn for each skill of the evaluation")
    parser.add_argument(
        "--from-course",
        type=int,
        default=1,
        help="a later one goes on from the weights in --out, the one after the last only evaluates",
    )
    parser.add_argument("--misses", action="store_true", help="print what was answered wrongly")
    options = parser.parse_args()
    _load_fast_blas()
    plans = [_stages(course, options.scale) for course in COURSES]
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.from_course - 1, len(COURSES)):
        _make(options.out, options.work, plans[number], number)
    _evaluate(options.out, [stage for stages in plans for stage in stages], options.per_skill, options.misses)


def _stages(course: Course, scale: float) -> list[Stage]:
    from ember.training import Stage

    steps = ((course.repeated, REPEATED_SHAPES), (course.lessons, course.shapes))
    return [Stage(round(count * scale), shapes) for count, shapes in steps]


def _load_fast_blas() -> None:
    """Before mlx is imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.path.insert(0, str(FOLDER.parent.parent))
    from webapp.engine import blas

    print(blas.load(), flush=True)


def _make(out: Path, work: Path, stages: list[Stage], number: int) -> None:
    """Trains the model for one course and saves it, the first time with its tokenizer; checkpoints go to `work`."""
    import mlx.core as mx
    from mlx_lm import load

    from ember.batches import BatchMaker
    from ember.lessons import Lessons
    from ember.saving import save_model, tokenizer_from
    from ember.start import new_model
    from ember.training import blend, train

    course = COURSES[number]
    lessons = Lessons(random.Random(SEED + number))
    if number == 0:
        tokenizer = tokenizer_from(lessons, LESSONS_FOR_TOKENIZER, SETTINGS, out)
        model = new_model(SETTINGS, SEED)
    else:
        model, wrapper = load(str(out))[:2]
        model.set_dtype(mx.float32)
        tokenizer = wrapper._tokenizer
    maker = BatchMaker(lessons, tokenizer)
    before = model.parameters()
    work.mkdir(parents=True, exist_ok=True)

    def checkpoint(step: int) -> None:
        if step % 250 == 0:
            save_model(model, work / "checkpoint.safetensors")

    for line in train(model, stages, course.peak_rate, course.decays, maker.batch, checkpoint):
        print(line, flush=True)
    blend(model, before, course.kept)
    save_model(model, out / "model.safetensors", mx.bfloat16)


def _evaluate(folder: Path, stages: list[Stage], per_skill: int, show_misses: bool) -> None:
    """Asks the held-out questions and writes the card."""
    from ember.card import write_card
    from ember.evaluation import evaluate

    scores = evaluate(folder, per_skill, SEED + 1)
    for score in scores:
        print(f"{score.skill:45} {score.right:4}/{score.asked:<4} {score.share:.0%}", flush=True)
        for asked, expected, said in score.misses if show_misses else ():
            print(json.dumps({"asked": asked, "expected": expected, "said": said}))
    weights = folder / "model.safetensors"
    facts = {
        "layers": SETTINGS["num_hidden_layers"],
        "width": SETTINGS["hidden_size"],
        "heads": SETTINGS["num_attention_heads"],
        "kv_heads": SETTINGS["num_key_value_heads"],
        "vocabulary": SETTINGS["vocab_size"],
        "context": SETTINGS["max_position_embeddings"],
        "parameters": weights.stat().st_size / 2 / 1e6,
        "megabytes": weights.stat().st_size / 1e6,
        "steps": sum(stage.steps for stage in stages),
        "tokens": sum(stage.tokens for stage in stages) / 1e6,
        "seed": SEED,
    }
    write_card(folder, scores, facts)


if __name__ == "__main__":
    main()
