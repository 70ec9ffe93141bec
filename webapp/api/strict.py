"""The common parts of the wire schemas: the strict base model, field types of all dialects, and refusals by name.

Knows no Flask and no engine.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from webapp.errors import InvalidRequest, Place

UNSUPPORTED = "unsupported_parameter"
MAX_MESSAGES = 2048
MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 256
MAX_OUTPUT_TOKENS = 2**31 - 1

ModelName = Annotated[str, Field(min_length=1, max_length=512)]
StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
TokenLimit = Annotated[int, Field(ge=1, le=MAX_OUTPUT_TOKENS)]


class StrictBody(BaseModel):
    """The strict base of all bodies: a bool is no number, a number is no string, NaN and Infinity are errors."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    # True for an object that has no effect: x-hearth-ignored names it as a whole, not its fields.
    left_out: ClassVar[bool] = False

    def path_of(self, place: Place) -> str:
        """Return the dotted path in this body of a place in the request that was made from it."""
        return dotted(place)


def dotted(steps: Place) -> str:
    """Write ("messages", 1, "content") as messages[1].content."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def unsupported(message: str, **values: object) -> PydanticCustomError:
    """Return the error for a feature that Hearth knows but does not have."""
    return PydanticCustomError(UNSUPPORTED, message, values)


def shape_of(value: object) -> str:
    return "<list>" if isinstance(value, list) else "<text>"


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
