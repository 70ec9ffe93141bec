"""The engine's limit: mlx-lm's BatchGenerator in a plain loop, greedy, detokenizing every token. No server.

Reads a JSON line `{"conversations": [{"messages": […], "tools": […]}, …], "max_tokens": n}` and answers with one, until
its input ends; between two lines it only waits. All prompts go in at once. Rendering and tokenizing are outside of the
time.

    python tools/bench/bare_loop.py MODEL_FOLDER
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

from webapp.engine import blas


class Bare:
    def __init__(self, folder: str):
        blas.load()
        mlx_lm: Any = importlib.import_module("mlx_lm")  # after the BLAS
        self._generate: Any = importlib.import_module("mlx_lm.generate")
        self._model, self._tokenizer = mlx_lm.load(folder)

    def answer(self, conversations: list[dict[str, Any]], max_tokens: int) -> dict[str, Any]:
        render = self._tokenizer.apply_chat_template
        prompts = [
            render(asked["messages"], tools=asked["tools"], add_generation_prompt=True) for asked in conversations
        ]
        stop_tokens = [[token] for token in self._tokenizer.eos_token_ids]
        started, cpu_started = time.perf_counter(), time.process_time()
        generator = self._generate.BatchGenerator(self._model, max_tokens=max_tokens, stop_tokens=stop_tokens)
        order = generator.insert(prompts)
        # Every look at `detokenizer` gives a fresh one.
        detokenizers = dict(zip(order, (self._tokenizer.detokenizer for _ in order), strict=True))
        texts = dict.fromkeys(order, "")
        first: dict[int, float] = {}
        tokens = 0
        running = set(order)
        while running:
            for response in generator.next()[1]:
                uid = response.uid
                first.setdefault(uid, time.perf_counter() - started)
                tokens += 1
                if response.finish_reason != "stop":
                    detokenizers[uid].add_token(response.token)
                    texts[uid] += detokenizers[uid].last_segment
                if response.finish_reason:
                    detokenizers[uid].finalize()
                    texts[uid] += detokenizers[uid].last_segment
                    running.discard(uid)
        seconds = time.perf_counter() - started
        generator.close()
        return {
            "seconds": seconds,
            "cpu_seconds": time.process_time() - cpu_started,
            "tokens": tokens,
            "ttft_seconds": sorted(first.values()),
            "prompt_tokens": sum(len(prompt) for prompt in prompts),
            "texts": [texts[uid] for uid in order],
        }


def main() -> None:
    bare = Bare(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(bare.answer(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
