"""What every wire schema is made of: the strict base model, and refusals of types that OpenAI defines."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

UNSUPPORTED = "unsupported_parameter"


class Wire(BaseModel):
    """Strict: a bool is no number, a number is no string; NaN and Infinity are nothing at all."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    # Accepted without effect, and named to the client as a whole.
    left_out: ClassVar[bool] = False


def unsupported(message: str, **values: object) -> PydanticCustomError:
    """Refuses by name what Hearth knows and does not do."""
    return PydanticCustomError(UNSUPPORTED, message, values)
