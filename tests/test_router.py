from __future__ import annotations

from pathlib import Path

import pytest

from webapp.generation import GenerationRequest, InstalledModel, SamplingParams
from webapp.router import sampling
from webapp.settings import Settings


@pytest.mark.parametrize(
    ("server", "model", "request_", "expected"),
    [
        ({}, {}, {}, SamplingParams()),
        ({"temperature": 0.3}, {}, {}, SamplingParams(temperature=0.3)),
        ({"temperature": 0.3}, {"temperature": 0.6, "top_k": 20}, {}, SamplingParams(temperature=0.6, top_k=20)),
        ({"top_p": 0.5}, {"top_p": 0.9}, {"top_p": 1.0}, SamplingParams(top_p=1.0)),
        ({}, {"temperature": 0.6}, {"temperature": 0, "seed": 0}, SamplingParams(temperature=0, seed=0)),
    ],
)
def test_request_over_model_over_server(
    server: dict[str, float], model: dict[str, float], request_: dict[str, float], expected: SamplingParams
) -> None:
    request = GenerationRequest("id", "m", sampling=request_)
    assert sampling(request, InstalledModel("m", Path(), 1, 0, 0, sampling=model), Settings(**server)) == expected
