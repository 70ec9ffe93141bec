"""A server that stops: streams end with an error that clients notice, and new requests are told to wait."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import httpx
import openai
import pytest

from tests.conftest import run_server


def test_what_clients_see_of_a_stop(tmp_path: Path, models_dir: Path) -> None:
    with closing(run_server(tmp_path, (models_dir,))) as running:  # type: ignore[type-var]
        hearth = next(running)
        client = openai.OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0)
        stream = client.chat.completions.create(
            model=hearth.models[0], messages=[{"role": "user", "content": "Go on."}], max_tokens=3000, stream=True
        )
        next(stream)
        hearth.server.drain(0)
        with pytest.raises(openai.APIError) as cut:
            list(stream)
        assert cut.value.code == "shutting_down"
        refused = httpx.post(f"{hearth.base_url}/v1/completions", json={"model": hearth.models[0], "prompt": "x"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "shutting_down"
        for path in ("/health", "/v1/health"):
            report = httpx.get(f"{hearth.base_url}{path}")
            assert (report.status_code, report.json()["status"]) == (503, "unhealthy")
            assert report.json()["reason"]
