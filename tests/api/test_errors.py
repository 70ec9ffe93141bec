"""Every error class, and everything Flask refuses by itself, as the JSON that OpenAI clients read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge

from tests.pages.conftest import Rows
from webapp import errors
from webapp.api import is_json_path, register, to_response

RAISED: list[tuple[errors.HearthError, int, str, str | None, str | None, dict[str, str]]] = [
    (errors.InvalidRequest("no", "a.b", "invalid_type"), 400, "invalid_request_error", "invalid_type", "a.b", {}),
    (
        errors.ContextLengthExceeded(9, 5, ("messages",)),
        400,
        "invalid_request_error",
        "context_length_exceeded",
        None,
        {},
    ),
    (errors.UnsupportedParameter("no", "n"), 400, "invalid_request_error", "unsupported_parameter", "n", {}),
    (
        errors.NotAuthenticated("no"),
        401,
        "invalid_request_error",
        "invalid_api_key",
        None,
        {"WWW-Authenticate": "Bearer"},
    ),
    (errors.TooManyAttempts(7), 429, "rate_limit_error", "too_many_attempts", None, {"Retry-After": "7"}),
    (errors.Forbidden("no"), 403, "permission_error", "insufficient_scope", None, {}),
    (errors.Forbidden("no", "model_not_allowed", "model"), 403, "permission_error", "model_not_allowed", "model", {}),
    (errors.KeyNotFound("x"), 404, "invalid_request_error", "key_not_found", None, {}),
    (errors.ModelNotFound("gpt-9", ("ember",)), 404, "invalid_request_error", "model_not_found", "model", {}),
    (errors.ProfileNotFound("x"), 404, "invalid_request_error", "profile_not_found", None, {}),
    (errors.RequestNotFound("x"), 404, "invalid_request_error", "request_not_found", None, {}),
    (errors.ResponseNotFound("x"), 404, "invalid_request_error", "response_not_found", None, {}),
    (errors.Cancelled("no"), 499, "invalid_request_error", "cancelled", None, {}),
    (errors.TimedOut("no"), 504, "timeout_error", "timeout", None, {"x-should-retry": "false"}),
    (
        errors.Conflict("no", "name", "name_taken"),
        409,
        "invalid_request_error",
        "name_taken",
        "name",
        {"x-should-retry": "false"},
    ),
    (errors.QueueFull("no"), 429, "rate_limit_error", "queue_full", None, {"Retry-After": "1"}),
    (errors.ModelLoadFailed("no"), 500, "server_error", "model_load_failed", None, {"x-should-retry": "false"}),
    (errors.EngineFailed("no"), 500, "server_error", "internal_error", None, {}),
    (errors.Unavailable("no"), 503, "server_error", "shutting_down", None, {"Retry-After": "1"}),
    (errors.EngineStopped("no"), 503, "server_error", "shutting_down", None, {"Retry-After": "1"}),
    (errors.OutOfMemory("no"), 503, "server_error", "insufficient_memory", None, {"x-should-retry": "false"}),
    (errors.OutOfMemory("no", 5), 503, "server_error", "insufficient_memory", None, {"Retry-After": "5"}),
]


def client(raised: Exception | None = None) -> FlaskClient:
    """An application with the API, and one route that raises."""
    app = Flask(__name__)
    app.extensions["server"] = SimpleNamespace(audit=Rows(), draining=False)
    register(app)

    def fail() -> str:
        assert raised is not None
        raise raised

    app.add_url_rule("/v1/fail", view_func=fail)
    app.register_error_handler(HTTPException, to_response)
    app.register_error_handler(errors.HearthError, to_response)
    app.register_error_handler(Exception, to_response)
    return app.test_client()


@pytest.mark.parametrize("raised, status, kind, code, param, headers", RAISED, ids=lambda value: str(value)[:30])
def test_the_tree_on_the_wire(
    raised: errors.HearthError, status: int, kind: str, code: str | None, param: str | None, headers: dict[str, str]
) -> None:
    response = client(raised).get("/v1/fail")
    assert response.status_code == status
    assert response.json == {"error": {"message": str(raised), "type": kind, "param": param, "code": code}}
    retry = {name: response.headers[name] for name in ("Retry-After", "x-should-retry") if name in response.headers}
    assert retry == {name: value for name, value in headers.items() if name != "WWW-Authenticate"}
    assert headers.items() <= dict(response.headers).items()


def error_of(response: Any) -> dict[str, str]:
    assert response.content_type == "application/json"
    error: dict[str, str] = response.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


def test_unknown_route_and_method() -> None:
    missing = client().get("/v1/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "unknown_url")
    wrong = client().get("/v1/chat/completions")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"].split(", ") == ["OPTIONS", "POST"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_only_json_is_read(content_type: str | None) -> None:
    response = client().post("/v1/chat/completions", data=b"{}", content_type=content_type)
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


def test_a_body_too_large() -> None:
    response = client(RequestEntityTooLarge()).get("/v1/fail")
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("fault", [RuntimeError("secret at /private/place"), InternalServerError()], ids=repr)
def test_a_fault_of_ours_says_only_the_request_id(fault: Exception) -> None:
    response = client(fault).get("/v1/fail", environ_overrides={"hearth.request_id": "req-7"})
    error = error_of(response)
    assert (response.status_code, error["code"], error["type"]) == (500, "internal_error", "server_error")
    assert "req-7" in error["message"] and "secret" not in error["message"]


def test_headers_on_every_answer_under_v1() -> None:
    for response in (client().get("/v1/nothing"), client(errors.QueueFull("no")).get("/v1/fail")):
        assert response.headers["openai-version"] == "2020-10-01"
        assert int(response.headers["openai-processing-ms"]) >= 0
        assert response.headers["Cache-Control"] == "no-store"


def test_which_paths_speak_json() -> None:
    assert all(is_json_path(path) for path in ("/v1", "/v1/models", "/api/pool", "/health"))
    assert not any(is_json_path(path) for path in ("/", "/chat", "/v1x", "/apiary", "/static/v1/x"))
