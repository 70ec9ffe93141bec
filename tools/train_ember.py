"""Makes Ember, the bundled model, from nothing: lessons, tokenizer, training, evaluation, model card.

python tools/train_ember.py                    everything, into models/ember (about an hour on one core)
python tools/train_ember.py --evaluate-only    ask the saved model again and rewrite its card
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

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
    "vocab_size": 1280,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
}
# (steps, rows, length): short rows first, because copying is learnt there soonest; long ones for long conversations.
# The second course starts from the first one's saved weights, and keeps to what people ask Ember for.
COURSES = (
    ((500, 28, 48), (400, 18, 104), (1150, 12, 168), (60, 5, 400)),
    ((700, 18, 104), (850, 12, 168), (30, 5, 400)),
)
PEAK_RATES = (3e-3, 2e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the finished model")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "ember", help="folder of checkpoints"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps to take, for a quick trial")
    parser.add_argument("--per-skill", type=int, default=100, help="questions drawn for each skill of the evaluation")
    parser.add_argument(
        "--from-course", type=int, default=1, help="2 goes on from the weights in --out, 3 only evaluates"
    )
    parser.add_argument("--misses", action="store_true", help="print what was answered wrongly")
    options = parser.parse_args()
    _load_fast_blas()
    courses = [
        [(max(1, round(steps * options.scale)), rows, length) for steps, rows, length in course] for course in COURSES
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.from_course - 1, len(courses)):
        _make(options.out, options.work, courses[number], number)
    _evaluate(options.out, [stage for course in courses for stage in course], options.per_skill, options.misses)


def _load_fast_blas() -> None:
    """Before mlx is imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.path.insert(0, str(FOLDER.parent.parent))
    from webapp.engine import blas

    print(blas.load(), flush=True)


def _make(out: Path, work: Path, stages: list[tuple[int, int, int]], course: int) -> None:
    """Trains the model for one course and saves it, the first time with its tokenizer; checkpoints go to `work`."""
    import mlx.core as mx
    from mlx_lm import load

    from ember.batches import BatchMaker
    from ember.lessons import Lessons
    from ember.saving import save_model, tokenizer_from
    from ember.training import Stage, new_model, train

    lessons = Lessons(random.Random(SEED + course), focus=course > 0)
    if course == 0:
        tokenizer = tokenizer_from(lessons, LESSONS_FOR_TOKENIZER, SETTINGS, out)
        model = new_model(SETTINGS, SEED)
    else:
        model, wrapper = load(str(out))[:2]
        model.set_dtype(mx.float32)
        tokenizer = wrapper._tokenizer
    maker = BatchMaker(lessons, tokenizer)
    work.mkdir(parents=True, exist_ok=True)

    def checkpoint(step: int) -> None:
        if step % 250 == 0:
            save_model(model, work / "checkpoint.safetensors")

    for line in train(model, [Stage(*stage) for stage in stages], PEAK_RATES[course], maker.batch, checkpoint):
        print(line, flush=True)
    save_model(model, out / "model.safetensors", mx.bfloat16)


def _evaluate(folder: Path, stages: list[tuple[int, int, int]], per_skill: int, show_misses: bool) -> None:
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
        "steps": sum(steps for steps, _, _ in stages),
        "tokens": sum(steps * rows * length for steps, rows, length in stages) / 1e6,
        "seed": SEED,
    }
    write_card(folder, scores, facts)


if __name__ == "__main__":
    main()
