"""Which tokenizers are kept, who waits for whom, and what goes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import LLAMA, QWEN
from webapp.engine.mlx.prompts.once import Once
from webapp.engine.mlx.prompts.tokenizer import MlxTokenizer
from webapp.engine.mlx.prompts.tokenizers import Tokenizers, read_tokenizer
from webapp.errors import ModelLoadFailed
from webapp.generation import InstalledModel

Installed = Callable[[str], InstalledModel]


class Readings:
    """Reads tokenizers and notes whose; the reading of a model in `held` waits until it is let go."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.held: dict[str, threading.Event] = {}

    def __call__(self, model: InstalledModel) -> MlxTokenizer:
        self.began.append(model.id)
        if model.id in self.held:
            assert self.held[model.id].wait(20)
        return read_tokenizer(model, lambda model: True)


@pytest.fixture
def three(tmp_path: Path, installed: Installed) -> list[InstalledModel]:
    """Models of their own as far as anybody can tell: their folders have several names."""
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder in folders:
        folder.symlink_to(installed(QWEN).path)
    return [replace(installed(QWEN), id=folder.name, path=folder) for folder in folders]


def test_reading_one_holds_up_only_those_who_want_it(installed: Installed) -> None:
    readings = Readings()
    tokenizers = Tokenizers(readings)
    slow, quick = installed(QWEN), installed(LLAMA)
    readings.held[slow.id] = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(tokenizers.of, slow) for _ in range(2)]
        try:
            assert pool.submit(tokenizers.of, quick).result(10).decode([5])
            assert not any(each.done() for each in waiting)
        finally:
            readings.held[slow.id].set()
        first, second = (each.result(10) for each in waiting)
    assert first is second is tokenizers.of(slow)
    assert sorted(readings.began) == sorted([slow.id, quick.id])


def test_the_least_recently_used_goes_and_is_freed(three: list[InstalledModel]) -> None:
    readings = Readings()
    tokenizers = Tokenizers(readings, most=2)
    one, two, other = three
    held, gone = tokenizers.of(one), weakref.ref(tokenizers.of(two))
    tokenizers.of(one)
    tokenizers.of(other)
    assert gone() is None
    assert tokenizers.of(one) is held and len(readings.began) == 3
    tokenizers.of(two)
    assert len(readings.began) == 4


def test_one_in_use_outlives_its_place(three: list[InstalledModel]) -> None:
    tokenizers = Tokenizers(Readings(), most=1)
    used = tokenizers.of(three[0])
    tokenizers.of(three[1])
    assert used.decode(used.encode("The river")) == "The river"


def test_that_of_a_replaced_folder_goes(installed: Installed) -> None:
    tokenizers = Tokenizers(Readings())
    model = installed(QWEN)
    old = weakref.ref(tokenizers.of(model))
    new = tokenizers.of(replace(model, version="another"))
    assert old() is None
    assert tokenizers.of(replace(model, version="another")) is new


def test_one_that_cannot_be_read_is_tried_again(tmp_path: Path, installed: Installed) -> None:
    tokenizers = Tokenizers(Readings())
    model = replace(installed(QWEN), path=tmp_path / "late")
    refusals = []
    for _ in range(2):
        with pytest.raises(ModelLoadFailed) as refused:
            tokenizers.of(model)
        refusals.append(refused.value)
    assert refusals[0] is not refusals[1]
    model.path.symlink_to(installed(QWEN).path)
    assert tokenizers.of(model).decode([5])


def test_what_is_made_once_holds_up_nobody_elses() -> None:
    go_on = threading.Event()
    slow, quick = Once(lambda: go_on.wait(20)), Once(lambda: "made")
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(slow.get)
        assert pool.submit(quick.get).result(10) == "made"
        go_on.set()
        assert waiting.result(10) is True
