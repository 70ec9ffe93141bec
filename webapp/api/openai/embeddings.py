"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Annotated, Literal

from flask import Blueprint, Response
from pydantic import Discriminator, Field, Tag

from webapp.api.ask import follow
from webapp.api.current import request_id
from webapp.api.declaration import EMBER, takes
from webapp.api.openai.generation_schema import PromptText, TokenIds, shape_of_texts
from webapp.api.record import record
from webapp.api.reply import json_response
from webapp.api.strict import ModelName, StrictBody, dotted
from webapp.errors import Cancelled, InvalidRequest, Place
from webapp.gate import server, visitor
from webapp.generation import Embedding, EmbeddingRequest, Event, Finish

MOST_TEXTS = 2048

routes = Blueprint("embeddings", __name__, url_prefix="/v1")


Texts = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True),
    Tag("<texts>"),
]
Rows = Annotated[list[TokenIds], Field(max_length=MOST_TEXTS, fail_fast=True), Tag("<rows>")]


class EmbeddingBody(StrictBody):
    model: ModelName
    input: Annotated[PromptText | TokenIds | Texts | Rows, Discriminator(shape_of_texts)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = None

    @property
    def texts(self) -> tuple[str | tuple[int, ...], ...]:
        if isinstance(self.input, str):
            return (self.input,)
        if isinstance(self.input[0], int):
            return (tuple(self.input),)
        return tuple(text if isinstance(text, str) else tuple(text) for text in self.input)

    def path_of(self, place: Place) -> str:
        match place:
            case ("texts", *inside):
                return dotted(("input", *inside))
            case _:
                return super().path_of(place)


@routes.post("/embeddings")
@takes(EmbeddingBody, example={"model": EMBER, "input": ["a warm fire", "a cold river"]}, generates=True)
def embed(body: EmbeddingBody) -> Response:
    """Embed each text as a vector."""
    asked = EmbeddingRequest(request_id(), body.model, body.texts, visitor().name)
    record().trace.asks(asked)
    vectors, tokens = _collected(follow(server().router.embed(asked)))
    rows = [_to_wire(index, _cut(vector, body.dimensions), body) for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response({"object": "list", "data": rows, "model": body.model, "usage": usage})


def _collected(events: Iterator[Event]) -> tuple[list[list[float]], int]:
    """Return the vectors and the texts' number of tokens. Raises Cancelled if a vector is missing."""
    vectors: list[list[float]] = []
    for event in events:
        match event:
            case Embedding():
                vectors.append(event.vector)
            case Finish() if event.reason != "cancelled":
                return vectors, event.usage.prompt_tokens
    raise Cancelled("The request was cancelled.")


def _cut(vector: list[float], dimensions: int | None) -> list[float]:
    """Return the first `dimensions` numbers, scaled to length 1 again."""
    if dimensions is None or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        message = f"'dimensions' must be at most {len(vector)}, which is what this model gives."
        raise InvalidRequest(message, "dimensions", "invalid_value")
    length = math.sqrt(sum(number * number for number in vector[:dimensions])) or 1.0
    return [number / length for number in vector[:dimensions]]


def _to_wire(index: int, vector: list[float], body: EmbeddingBody) -> dict[str, object]:
    """Return one embedding as JSON; as base64 its vector is little-endian 32-bit floats."""
    packed = struct.pack(f"<{len(vector)}f", *vector)
    shown = base64.b64encode(packed).decode() if body.encoding_format == "base64" else vector
    return {"object": "embedding", "index": index, "embedding": shown}
