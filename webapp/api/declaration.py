"""What a route takes and gives, declared at its view. Bodies are read by it, and openapi.py describes it.

@routes.post("/chat/completions")
@takes(ChatBody, example=HELLO, refused=REFUSED, generates=True)
def complete_chat(body: ChatBody) -> Response: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from flask import Response

from webapp.api.body import read, read_object
from webapp.api.record import record
from webapp.api.reply import tell_ignored
from webapp.api.strict import StrictBody
from webapp.api.unsupported import HARMLESS, Refused

Json = dict[str, Any]
B = TypeVar("B", bound=StrictBody)
P = ParamSpec("P")
V = TypeVar("V", bound=Callable[..., Response])

JSON_TYPE = "application/json"
# The model in the examples of bodies.
EMBER = "ember"
HELLO: Json = {"model": EMBER, "messages": [{"role": "user", "content": "Hello!"}]}
_ATTRIBUTE = "declaration"


@dataclass(frozen=True, slots=True)
class ObjectBody:
    """A body that a desk checks, not pydantic. `name` is the name of its schema, and `schema` makes that."""

    name: str
    schema: Callable[[], Json]


@dataclass(frozen=True, eq=False)
class Declaration:
    """What a view declares. `query`: the schema of each query parameter. `gives`: the content types of its answers."""

    body: type[StrictBody] | ObjectBody | None = None
    example: Json | None = None
    query: Mapping[str, Json] = field(default_factory=dict)
    gives: tuple[str, ...] = (JSON_TYPE,)

    @property
    def streams(self) -> bool:
        """Whether a client may ask for server-sent events."""
        return isinstance(self.body, type) and "stream" in self.body.model_fields


UNDECLARED = Declaration()


def takes(
    schema: type[B],
    *,
    example: Json,
    refused: tuple[Refused, ...] = (),
    harmless: frozenset[str] = HARMLESS,
    generates: bool = False,
) -> Callable[[Callable[Concatenate[B, P], Response]], Callable[P, Response]]:
    """Call the view with the body as `schema`, and name unknown fields to the client.

    `refused`: parameters that raise an error. `harmless`: those that have no effect and that no header names. A route
    that `generates` has a line in the log for each request, also for one whose body is refused.
    """

    def declare(view: Callable[Concatenate[B, P], Response]) -> Callable[P, Response]:
        @wraps(view)
        def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
            record().generates = generates
            body = read(schema, refused)
            return tell_ignored(view(body, *args, **kwargs), body, refused, harmless)

        return _declared(answer, body=schema, example=example)

    return declare


def takes_object(
    name: str, schema: Callable[[], Json], example: Json | None = None
) -> Callable[[Callable[Concatenate[Json, P], Response]], Callable[P, Response]]:
    """Call the view with the body as a JSON object, unchecked; the desk that the view calls checks it."""

    def declare(view: Callable[Concatenate[Json, P], Response]) -> Callable[P, Response]:
        @wraps(view)
        def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
            return view(read_object(), *args, **kwargs)

        return _declared(answer, body=ObjectBody(name, schema), example=example)

    return declare


def takes_query(**parameters: Json) -> Callable[[V], V]:
    """Declare the query parameters by name; the view reads and checks them itself."""
    return lambda view: _declared(view, query=parameters)


def gives(*content_types: str) -> Callable[[V], V]:
    """Declare the content types that the view answers with instead of JSON."""
    return lambda view: _declared(view, gives=content_types)


def declaration_of(view: Callable[..., object]) -> Declaration:
    declaration: Declaration = getattr(view, _ATTRIBUTE, UNDECLARED)
    return declaration


def _declared(view: V, **more: Any) -> V:
    vars(view)[_ATTRIBUTE] = replace(declaration_of(view), **more)
    return view
