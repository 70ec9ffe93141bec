"""An error that several threads raise is an object of its own for each."""

from __future__ import annotations

import pytest

from webapp.errors import (
    Conflict,
    ContextLengthExceeded,
    HearthError,
    InvalidFields,
    ModelNotFound,
    OutOfMemory,
    SignInRequired,
    TooManyAttempts,
)

ERRORS: list[HearthError] = [
    HearthError("plain"),
    OutOfMemory("no room", retry_after_seconds=5),
    ContextLengthExceeded(9, 8, "messages"),
    InvalidFields({"port": "too large"}),
    ModelNotFound("one", ("two",)),
    Conflict("pinned", "model", "pinned"),
    TooManyAttempts(7),
    SignInRequired(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_again_is_equal_and_shares_no_traceback(error: HearthError) -> None:
    try:
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise error from cause
    except HearthError as raised:
        again = raised.again()
    assert again is not error and type(again) is type(error)
    assert (str(again), again.args) == (str(error), error.args)
    assert vars(again) == vars(error) and again.code == error.code
    assert error.__traceback__ is not None and error.__cause__ is not None
    assert (again.__traceback__, again.__cause__, again.__context__) == (None, None, None)
