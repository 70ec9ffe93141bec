"""What every wire schema is made of: the strict base model, tags of unions, refusals by name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

UNSUPPORTED = "unsupported_parameter"


class Wire(BaseModel):
    """Strict: a bool is no number, a number is no string; NaN and Infinity are nothing at all."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)


def shape_of(value: object) -> str:
    """The tag of a union's member; in angle brackets, so that error paths can leave it out."""
    return "<list>" if isinstance(value, list) else "<text>"


def unsupported(message: str, **values: object) -> PydanticCustomError:
    """Refuses by name what Hearth knows and does not do."""
    return PydanticCustomError(UNSUPPORTED, message, values)
