"""/api/profiles, and how profiles stand among the models of /v1."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import LLAMA, QWEN, Hearth
from webapp.routing.profiles import TABLE


@pytest.fixture
def http(hearth: Hearth) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hearth.base_url, timeout=30) as client:
        yield client
        for profile in client.get("/api/profiles").json()["profiles"]:
            client.delete(f"/api/profiles/{profile['name']}")


HELPER = {"name": "team/helper", "model": QWEN, "temperature": 0.2, "max_tokens": 64, "context_length": 512}


def error_of(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    return dict(response.json()["error"])


def test_a_profile_is_made_shown_replaced_renamed_and_deleted(http: httpx.Client) -> None:
    made = http.post("/api/profiles", json=HELPER)
    assert made.status_code == 201
    assert made.json().keys() == set(TABLE)
    assert HELPER.items() <= made.json().items()
    assert made.json()["template_options"] == {} and made.json()["pinned"] is False
    assert http.get("/api/profiles").json() == {"profiles": [made.json()]}
    assert http.get("/api/profiles/team/helper").json() == made.json()

    replaced = http.put("/api/profiles/team/helper", json={"name": "cook", "model": LLAMA, "pinned": True})
    assert replaced.status_code == 200
    assert (replaced.json()["name"], replaced.json()["model"], replaced.json()["temperature"]) == ("cook", LLAMA, None)
    again = http.put("/api/profiles/cook", json=replaced.json())
    assert again.json() == replaced.json()

    assert http.delete("/api/profiles/cook").json() == {"deleted": "cook"}
    assert http.get("/api/profiles").json() == {"profiles": []}


def test_refusals_name_the_field_and_change_nothing(http: httpx.Client) -> None:
    http.post("/api/profiles", json=HELPER)
    before = http.get("/api/profiles").json()
    gone = error_of(http.post("/api/profiles", json={"name": "x", "model": "gone"}), 400)
    assert gone["param"] == "model" and "not installed" in gone["message"]
    itself = error_of(http.post("/api/profiles", json={"name": "x", "model": "team/helper"}), 400)
    assert itself["param"] == "model"
    for taken in (HELPER, HELPER | {"name": LLAMA}):
        error = error_of(http.post("/api/profiles", json=taken), 409)
        assert (error["code"], error["param"], error["type"]) == ("name_taken", "name", "invalid_request_error")
    wrong = error_of(http.put("/api/profiles/team/helper", json={"model": QWEN, "top_p": 2, "top_q": 1}), 400)
    assert wrong["param"] == "top_p" and set(wrong["errors"]) == {"top_p", "top_q"}
    assert error_of(http.put("/api/profiles/nobody", json=HELPER), 404)["code"] == "profile_not_found"
    assert error_of(http.delete("/api/profiles/nobody"), 404)["code"] == "profile_not_found"
    assert error_of(http.get("/api/profiles/nobody"), 404)["code"] == "profile_not_found"
    assert error_of(http.post("/api/profiles", content=b"[]", headers={"content-type": "application/json"}), 400)
    assert http.get("/api/profiles").json() == before


def test_profiles_stand_among_the_models(http: httpx.Client) -> None:
    http.post("/api/profiles", json=HELPER)
    listed = {model["id"]: model for model in http.get("/v1/models").json()["data"]}
    assert {QWEN, LLAMA, "team/helper"} <= listed.keys()
    shown = http.get("/v1/models/team/helper").json()
    assert shown == listed["team/helper"]
    assert (shown["owned_by"], shown["profile_of"], shown["object"]) == ("profile", QWEN, "model")
    assert (shown["context_length"], shown["max_output_tokens"]) == (512, 64)
    assert shown["state"] == listed[QWEN]["state"]
    assert "profile_of" not in listed[QWEN]


def test_an_unknown_name_is_told_the_profiles_too(http: httpx.Client) -> None:
    http.post("/api/profiles", json=HELPER)
    body = {"model": "gpt-9", "messages": [{"role": "user", "content": "Hi"}]}
    error = error_of(http.post("/v1/chat/completions", json=body), 404)
    assert "Profiles: team/helper." in error["message"] and QWEN in error["message"]


def test_the_context_limit_of_a_profile_is_the_one_that_counts(http: httpx.Client) -> None:
    http.post("/api/profiles", json=HELPER)
    messages = [{"role": "user", "content": "river " * 1000}]
    error = error_of(http.post("/v1/chat/completions", json={"model": "team/helper", "messages": messages}), 400)
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "maximum context length is 512 tokens" in error["message"]
    body = {"model": "team/helper", "messages": [{"role": "user", "content": "river " * 60}], "max_tokens": 4000}
    usage = http.post("/v1/chat/completions", json=body).json()["usage"]
    assert usage["total_tokens"] <= 512
