"""What can go wrong, as one tree. No HTTP in here: `api` and `pages` map these classes once each.

HearthError
├ InvalidRequest(param or place)
│ ├ ContextLengthExceeded
│ ├ InvalidFields
│ └ UnsupportedParameter
├ NotAuthenticated
│ └ SignInRequired
├ TooManyAttempts
├ Forbidden
├ KeyNotFound
├ ModelNotFound
├ ProfileNotFound
├ ResponseNotFound
├ Conflict(param)
├ QueueFull
├ ModelLoadFailed
├ EngineFailed
├ Cancelled
├ TimedOut
└ Unavailable
  ├ OutOfMemory
  └ EngineStopped
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Where in a request, in the words of `generation`, counted from 0: ("tools", 2, "parameters", "properties", "x").
Place = tuple[str | int, ...]


class HearthError(Exception):
    """Anything Hearth says to its user in place of an answer. `str(error)` is fit to be shown."""

    code: str | None = None


class InvalidRequest(HearthError):
    """The request cannot be served as written; `param` is the dotted path of the field at fault in the client's words.

    Whoever does not know those gives the `place` in Hearth's own, and the body that was parsed translates it.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None, *, place: Place | None = None):
        super().__init__(message)
        self.param = param
        self.place = place
        if code is not None:
            self.code = code


class ContextLengthExceeded(InvalidRequest):
    """The prompt is longer than the model's context. Both numbers stand in the message."""

    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, context_length: int, place: Place):
        super().__init__(
            f"This model's maximum context length is {context_length} tokens, "
            f"but the prompt resulted in {prompt_tokens} tokens.",
            place=place,
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class InvalidFields(InvalidRequest):
    """At least one value does not fit; `errors` has a message for each. Nothing was changed."""

    def __init__(self, errors: Mapping[str, str]):
        name, message = next(iter(errors.items()))
        super().__init__(message, param=name)
        self.errors: Mapping[str, str] = MappingProxyType(dict(errors))


class UnsupportedParameter(InvalidRequest):
    """A parameter the API defines and Hearth does not do; refused by name, never ignored."""

    code = "unsupported_parameter"


class NotAuthenticated(HearthError):
    """A key is needed and none was sent, or the one that was sent is none of ours."""

    code = "invalid_api_key"


class SignInRequired(NotAuthenticated):
    """Sign-in on this computer is on, and the request carries no sign of it."""

    code = "sign_in_required"

    def __init__(self) -> None:
        super().__init__("Sign in first: open Hearth again, or follow the link that `hearth sign-in` prints.")


class TooManyAttempts(HearthError):
    """Too many wrong keys came from one address; no more are looked at for a while."""

    code = "too_many_attempts"

    def __init__(self, retry_after_seconds: int):
        super().__init__(f"Too many wrong keys came from your address. Try again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


class Forbidden(HearthError):
    """We know who asks, and the key does not allow it: its scope or its models."""

    def __init__(self, message: str, code: str = "insufficient_scope", param: str | None = None):
        super().__init__(message)
        self.code = code
        self.param = param


class KeyNotFound(HearthError):
    code = "key_not_found"

    def __init__(self, name: str):
        super().__init__(f"There is no key '{name}'.")


class ModelNotFound(HearthError):
    """Nothing installed answers to this name, or a `profile` of it needs a model that is gone. Never downloads."""

    code = "model_not_found"

    def __init__(
        self, model: str, installed: tuple[str, ...] = (), profiles: tuple[str, ...] = (), profile: str | None = None
    ):
        missing = f"The model '{model}' is not installed."
        if profile is not None:
            missing = f"The profile '{profile}' needs the model '{model}', which is not installed."
        known = f"Installed models: {', '.join(installed) or 'none'}."
        others = f" Profiles: {', '.join(profiles)}." if profiles else ""
        super().__init__(f"{missing} {known}{others}")
        self.model = model


class ProfileNotFound(HearthError):
    code = "profile_not_found"

    def __init__(self, name: str):
        super().__init__(f"There is no profile '{name}'.")


class ResponseNotFound(HearthError):
    """Never kept, no longer kept, or another key's."""

    code = "response_not_found"

    def __init__(self, response_id: str):
        super().__init__(f"Response with id '{response_id}' not found.")


class Conflict(HearthError):
    """What is asked does not go with what is there already; `param` is the field at fault."""

    def __init__(self, message: str, param: str, code: str):
        super().__init__(message)
        self.param = param
        self.code = code


class QueueFull(HearthError):
    code = "queue_full"
    retry_after_seconds = 1


class ModelLoadFailed(HearthError):
    """The model's files do not load. Trying again would fail again."""

    code = "model_load_failed"


class EngineFailed(HearthError):
    """The engine broke under this request; it goes on, and the request may be tried again."""

    code = "internal_error"


class Cancelled(HearthError):
    """Somebody ended a request whose answer is whole or none."""

    code = "cancelled"


class TimedOut(HearthError):
    """A request took longer than a timeout of the settings allows."""

    code = "timeout"


class Unavailable(HearthError):
    """Not now; the same request may succeed after `retry_after_seconds`."""

    code = "shutting_down"
    retry_after_seconds: int | None = 1


class OutOfMemory(Unavailable):
    """The model does not fit in the memory limit; `retry_after_seconds` is None when it never will."""

    code = "insufficient_memory"

    def __init__(self, message: str, retry_after_seconds: int | None = None):
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class EngineStopped(Unavailable):
    """The engine is shutting down or its thread no longer steps."""
