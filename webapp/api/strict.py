"""What every wire schema is made of: the strict base model, and refusals of types that OpenAI defines."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from webapp.errors import Place

UNSUPPORTED = "unsupported_parameter"


class Wire(BaseModel):
    """Strict: a bool is no number, a number is no string; NaN and Infinity are nothing at all."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    # Accepted without effect, and named to the client as a whole.
    left_out: ClassVar[bool] = False

    def path_of(self, place: Place) -> str:
        """Where the client wrote what stands at a place of the request that was made of this body."""
        return dotted(place)


def dotted(steps: Place) -> str:
    """("messages", 1, "content") as messages[1].content."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def unsupported(message: str, **values: object) -> PydanticCustomError:
    """Refuses by name what Hearth knows and does not do."""
    return PydanticCustomError(UNSUPPORTED, message, values)
