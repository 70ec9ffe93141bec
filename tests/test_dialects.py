"""What every kind of error is on the wire, for every class of the tree; and which language a path speaks."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import get_args

import pytest

import webapp
from webapp import errors
from webapp.audit.trace import ROW_STATUSES
from webapp.dialects import STATUSES, Dialect, Refusal, dialect_of, error_body, kind_of
from webapp.errors import HearthError, Kind
from webapp.pages.errors import ADVICE

# Clients depend on the first three; whoever reads the audit on the last.
WIRE: dict[str, tuple[int, str, str, str]] = {
    "invalid": (400, "invalid_request_error", "invalid_request_error", "refused"),
    "too_large": (413, "invalid_request_error", "request_too_large", "refused"),
    "unauthenticated": (401, "invalid_request_error", "authentication_error", "refused"),
    "forbidden": (403, "permission_error", "permission_error", "refused"),
    "unknown": (404, "invalid_request_error", "not_found_error", "refused"),
    "conflict": (409, "invalid_request_error", "invalid_request_error", "refused"),
    "cancelled": (499, "invalid_request_error", "invalid_request_error", "cancelled"),
    "busy": (429, "rate_limit_error", "rate_limit_error", "refused"),
    "late": (504, "timeout_error", "timeout_error", "timeout"),
    "broken": (500, "server_error", "api_error", "error"),
    "unavailable": (503, "server_error", "overloaded_error", "refused"),
}
CLASSES = {
    "HearthError": "broken",
    "InvalidRequest": "invalid",
    "ContextLengthExceeded": "invalid",
    "InvalidFields": "invalid",
    "UnsupportedParameter": "invalid",
    "NotAuthenticated": "unauthenticated",
    "SignInRequired": "unauthenticated",
    "TooManyAttempts": "busy",
    "Forbidden": "forbidden",
    "KeyNotFound": "unknown",
    "ModelNotFound": "unknown",
    "ProfileNotFound": "unknown",
    "RequestNotFound": "unknown",
    "ResponseNotFound": "unknown",
    "Conflict": "conflict",
    "QueueFull": "busy",
    "ModelLoadFailed": "broken",
    "EngineFailed": "broken",
    "Cancelled": "cancelled",
    "TimedOut": "late",
    "Unavailable": "unavailable",
    "OutOfMemory": "unavailable",
    "ModelReplaced": "unavailable",
    "EngineStopped": "unavailable",
}


def tree(root: type[HearthError] = HearthError) -> Iterator[type[HearthError]]:
    yield root
    for below in root.__subclasses__():
        yield from tree(below)


def raised(of: type[HearthError]) -> HearthError:
    """An error of this class, however it is made."""
    match of.__name__:
        case "InvalidFields":
            return errors.InvalidFields({"a": "no"})
        case "ContextLengthExceeded":
            return errors.ContextLengthExceeded(9, 5, "prompt")
        case "SignInRequired":
            return errors.SignInRequired()
        case "TooManyAttempts":
            return errors.TooManyAttempts(7)
        case "Conflict":
            return errors.Conflict("no", "name", "name_taken")
        case _:
            return of("no")


def test_every_class_of_the_tree_is_of_the_kind_that_clients_know_it_by() -> None:
    assert {each.__name__: each.kind for each in tree() if each.__module__ == "webapp.errors"} == CLASSES


@pytest.mark.parametrize("of", [each for each in tree() if each.__module__ == "webapp.errors"])
def test_every_class_on_the_wire(of: type[HearthError]) -> None:
    error = raised(of)
    status, openai, anthropic, row = WIRE[CLASSES[of.__name__]]
    assert (STATUSES[error.kind], ROW_STATUSES[error.kind]) == (status, row)
    plain: tuple[Dialect, ...] = ("openai", "plain", "page")
    assert {error_body(error, dialect)["error"]["type"] for dialect in plain} == {openai}
    body = error_body(error, "anthropic", "req-7")
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", anthropic, "req-7")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_refusal_of_the_same_status_is_of_the_same_type(kind: Kind) -> None:
    status, openai, anthropic, row = WIRE[kind]
    refusal = Refusal(status, "c", "m")
    assert refusal.kind == kind_of(STATUSES[kind]) == kind
    assert error_body(refusal, "openai")["error"] == {"message": "m", "type": openai, "param": None, "code": "c"}
    assert error_body(refusal, "anthropic")["error"]["type"] == anthropic
    assert ROW_STATUSES[kind] == row and isinstance(ADVICE[kind], str)


@pytest.mark.parametrize(
    ("status", "kind"), [(405, "invalid"), (408, "invalid"), (415, "invalid"), (431, "invalid"), (501, "broken"),
                         (502, "broken"), (505, "broken")],
)  # fmt: skip
def test_statuses_of_no_kind(status: int, kind: Kind) -> None:
    assert kind_of(status) == kind


def test_no_class_is_without_a_kind() -> None:
    with pytest.raises(TypeError, match="Kindless does not name its kind"):

        class Kindless(HearthError):
            pass


def test_every_error_of_the_program_is_of_a_known_kind() -> None:
    for module in pkgutil.walk_packages(webapp.__path__, "webapp."):
        if not module.name.startswith(("webapp.engine.mlx", "webapp.__main__")):
            importlib.import_module(module.name)
    found = [each for each in tree() if each.__module__.startswith("webapp.")]
    assert len(found) > len(CLASSES)
    assert {each.kind for each in found} <= set(get_args(Kind))


def test_a_form_names_every_field_at_fault() -> None:
    assert error_body(errors.InvalidFields({"a": "no", "b": "neither"}), "plain")["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": "a",
        "code": None,
        "errors": {"a": "no", "b": "neither"},
    }


def test_agents_read_that_a_prompt_is_too_long() -> None:
    error = errors.ContextLengthExceeded(9, 5, "messages")
    assert error_body(error, "anthropic")["error"]["message"] == "prompt is too long: 9 tokens > 5 maximum"
    assert "maximum context length is 5 tokens" in error_body(error, "openai")["error"]["message"]


@pytest.mark.parametrize(
    ("path", "dialect"),
    [("/v1", "openai"), ("//v1/models", "openai"), ("/v1/messages", "anthropic"), ("/v1/messages/x", "anthropic"),
     ("/v1/messagesx", "openai"), ("/api/pool", "plain"), ("/health", "plain"), ("/chat", "page"), ("", "page")],
)  # fmt: skip
def test_languages(path: str, dialect: Dialect) -> None:
    assert dialect_of(path) == dialect
