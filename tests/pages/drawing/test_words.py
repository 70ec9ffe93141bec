"""How numbers and states are written on a page."""

from __future__ import annotations

from typing import get_args

import pytest

from webapp.engine.snapshot import ModelState
from webapp.pages.drawing.words import labels, tone


@pytest.mark.parametrize("state", get_args(ModelState))
def test_every_state_of_a_model_has_a_tone(state: ModelState) -> None:
    assert isinstance(tone(state), str)


def test_short_names_that_read_alike_are_written_out() -> None:
    assert labels(["a/Qwen", "b/Qwen", "c/Llama"]) == {"a/Qwen": "a/Qwen", "b/Qwen": "b/Qwen", "c/Llama": "Llama"}
