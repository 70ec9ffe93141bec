"""Two clients alternate two models of which only one fits: how long does anybody wait, and does memory come back.

Starts a real server on random-weight models made on the spot. A wait is from request to whole answer; "load" and
"own batch" are measured first, with the models loaded and unloaded by hand.

    python tools/bench/swaps.py [--swaps 100]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

from efficiency import TOOLS, hearth

MODELS = ("bench/one", "bench/two")
ANSWER_TOKENS = 16
GB = 1e9
MB = 1e6


class Client:
    def __init__(self, url: str):
        self._url = url

    def call(self, method: str, path: str, **body: object) -> dict:
        data = json.dumps(body).encode() if body else None
        request = Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=120) as reply:
            return dict(json.load(reply))

    def ask(self, model: str) -> float:
        """Seconds for a whole answer."""
        began = time.perf_counter()
        self.call("POST", "/v1/completions", model=model, prompt="The river", max_tokens=ANSWER_TOKENS, temperature=0)
        return time.perf_counter() - began

    def load(self, model: str) -> float:
        began = time.perf_counter()
        self.call("POST", "/api/models/load", model=model)
        return time.perf_counter() - began


def resident_bytes(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text("utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


def measure(client: Client, process_id: int, swaps: int) -> None:
    empty = resident_bytes(process_id)
    client.load(MODELS[0])  # with the import of MLX and the compiling of kernels
    load_seconds = []
    one_model = resident_bytes(process_id) - empty
    client.ask(MODELS[0])
    batch_seconds = statistics.median(client.ask(MODELS[0]) for _ in range(5))
    weights_bytes = client.call("GET", "/api/pool")["models"][0]["weights_bytes"]
    for _ in range(3):
        client.call("POST", "/api/models/unload", model=MODELS[0])
        load_seconds.append(client.load(MODELS[0]))
    client.call("PUT", "/api/settings/pool", memory_limit=weights_bytes * 1.5 / GB)
    waits: list[float] = []

    def alternate(first: int) -> None:
        for turn in range(swaps // 2):
            waits.append(client.ask(MODELS[(first + turn) % 2]))

    crowd = [threading.Thread(target=alternate, args=(first,)) for first in (0, 1)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    own = max(load_seconds) + batch_seconds
    print(
        f"load {max(load_seconds) * 1000:.0f} ms, own batch {batch_seconds * 1000:.0f} ms, together {own * 1000:.0f} ms"
    )
    print(
        f"{len(waits)} requests: median wait {statistics.median(waits) * 1000:.0f} ms, "
        f"longest {max(waits) * 1000:.0f} ms = {max(waits) / own:.2f} of load and own batch"
    )
    after = resident_bytes(process_id) - empty
    used = client.call("GET", "/api/pool")["used_bytes"]
    print(f"the pool counts {used / weights_bytes:.2f} of one model's weights ({weights_bytes / MB:.0f} MB)")
    print(f"resident beyond the empty server: {after / MB:.0f} MB, {after / one_model:.2f} of one freshly loaded model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        for seed, model in enumerate(MODELS):
            command = [sys.executable, str(TOOLS / "tiny_models.py"), str(models / model)]
            subprocess.run([*command, "--size", "small", "--seed", str(seed)], check=True, capture_output=True)
        with hearth(models, Path(folder) / "data") as (url, process_id):
            measure(Client(url), process_id, options.swaps)


if __name__ == "__main__":
    main()
