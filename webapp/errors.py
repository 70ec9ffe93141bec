"""All errors, as one tree. Each class names its kind; the modules that show or store errors have tables of kinds.

No HTTP in here: statuses and types stand in `dialects`, advice in `pages`, what the audit says in `audit`.

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
├ RequestNotFound
├ ResponseNotFound
├ Conflict(param)
├ QueueFull
├ ModelLoadFailed
├ EngineFailed
├ Cancelled
├ TimedOut
└ Unavailable
  ├ OutOfMemory
  ├ ModelReplaced
  └ EngineStopped
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal, Self

# `too_large` is a refusal of the web server's: no class of the tree is of this kind.
Kind = Literal[
    "invalid",
    "too_large",
    "unauthenticated",
    "forbidden",
    "unknown",
    "conflict",
    "cancelled",
    "busy",
    "late",
    "broken",
    "unavailable",
]

# Where in a request, in the words of `generation`, counted from 0: ("tools", 2, "parameters", "properties", "x").
Place = tuple[str | int, ...]


class HearthError(Exception):
    """An error that a user gets instead of an answer. `str(error)` is a text for that user.

    A class directly below this one names its `kind`; those below it are of the same. `code` is for programs, `param`
    is the dotted path of the field at fault. `retry_after_seconds` is when the same request may succeed; `fails_again`
    says that it never will, where its kind alone does not say so. `advice` is what a person may do about this very
    class of errors.
    """

    kind: ClassVar[Kind] = "broken"
    code: str | None = None
    param: str | None = None
    retry_after_seconds: int | None = None
    fails_again: ClassVar[bool] = False
    advice: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if HearthError in cls.__bases__ and "kind" not in vars(cls):
            raise TypeError(f"{cls.__name__} does not name its kind of error.")

    def again(self) -> Self:
        """An equal error for another thread to raise: it shares no traceback, cause or context with this one."""
        other = type(self).__new__(type(self), *self.args)
        vars(other).update(vars(self))
        return other


class InvalidRequest(HearthError):
    """The request cannot be served as written; `param` is the dotted path of the field at fault in the client's words.

    Code that does not know the client's body gives the `place` in Hearth's words, which the body translates.
    """

    kind = "invalid"

    def __init__(self, message: str, param: str | None = None, code: str | None = None, *, place: Place | None = None):
        super().__init__(message)
        self.param = param
        self.place = place
        if code is not None:
            self.code = code


class ContextLengthExceeded(InvalidRequest):
    """The prompt is longer than the model's context. Both numbers stand in the message."""

    code = "context_length_exceeded"
    advice = "Start a new chat, or choose a model with a longer context."

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
    """The request needs a key, and has none or an unknown one."""

    kind = "unauthenticated"
    code = "invalid_api_key"


class SignInRequired(NotAuthenticated):
    """Sign-in on this computer is on, and the request has neither a session nor a key."""

    code = "sign_in_required"

    def __init__(self) -> None:
        super().__init__("Sign in first: open Hearth again, or follow the link that `hearth sign-in` prints.")


class TooManyAttempts(HearthError):
    """Too many wrong keys came from one address; Hearth checks no more of them for a while."""

    kind = "busy"
    code = "too_many_attempts"

    def __init__(self, retry_after_seconds: int):
        super().__init__(f"Too many wrong keys came from your address. Try again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


class Forbidden(HearthError):
    """The key is known, but its scope or its models do not allow this."""

    kind = "forbidden"

    def __init__(self, message: str, code: str = "insufficient_scope", param: str | None = None):
        super().__init__(message)
        self.code = code
        self.param = param


class KeyNotFound(HearthError):
    """No key has this name."""

    kind = "unknown"
    code = "key_not_found"

    def __init__(self, name: str):
        super().__init__(f"There is no key '{name}'.")


class ModelNotFound(HearthError):
    """Nothing installed answers to this name, or a `profile` of it needs a model that is gone. Never downloads."""

    kind = "unknown"
    code = "model_not_found"
    param = "model"
    advice = "Choose another model."

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
    """No profile has this name."""

    kind = "unknown"
    code = "profile_not_found"

    def __init__(self, name: str):
        super().__init__(f"There is no profile '{name}'.")


class RequestNotFound(HearthError):
    """No request that waits or runs has this id."""

    kind = "unknown"
    code = "request_not_found"

    def __init__(self, request_id: str):
        super().__init__(f"No running or waiting request has the id '{request_id}'.")


class ResponseNotFound(HearthError):
    """The response was never stored, is deleted, or belongs to another key."""

    kind = "unknown"
    code = "response_not_found"

    def __init__(self, response_id: str):
        super().__init__(f"Response with id '{response_id}' not found.")


class Conflict(HearthError):
    """The request conflicts with something that exists already; `param` is the field at fault."""

    kind = "conflict"
    param: str

    def __init__(self, message: str, param: str, code: str):
        super().__init__(message)
        self.param = param
        self.code = code


class QueueFull(HearthError):
    """The queue is full: as many requests wait as the settings allow."""

    kind = "busy"
    code = "queue_full"
    retry_after_seconds = 1
    advice = "Try again in a moment."


class ModelLoadFailed(HearthError):
    """The model's files do not load. Trying again would fail again."""

    kind = "broken"
    code = "model_load_failed"
    fails_again = True


class EngineFailed(HearthError):
    """The engine failed at this request. It still runs, and the client may try again."""

    kind = "broken"
    code = "internal_error"


class Cancelled(HearthError):
    """Somebody ended a request that has no partial answer."""

    kind = "cancelled"
    code = "cancelled"


class TimedOut(HearthError):
    """A request took longer than a timeout of the settings allows."""

    kind = "late"
    code = "timeout"


class Unavailable(HearthError):
    """Hearth cannot do this now; the same request may succeed after `retry_after_seconds`."""

    kind = "unavailable"
    code = "shutting_down"
    retry_after_seconds: int | None = 1


class OutOfMemory(Unavailable):
    """The model does not fit in the memory limit; `retry_after_seconds` is None when it never will."""

    code = "insufficient_memory"
    advice = "Choose a smaller model."

    def __init__(self, message: str, retry_after_seconds: int | None = None):
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ModelReplaced(Unavailable):
    """The model's files changed while a request waited whose prompt was written for the old ones."""

    code = "model_replaced"

    def __init__(self, model: str):
        super().__init__(f"The model '{model}' was replaced while this request waited for it. Please try again.")


class EngineStopped(Unavailable):
    """The engine is shutting down or its thread no longer steps."""
