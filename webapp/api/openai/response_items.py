"""Items of a conversation as /v1/responses keeps and lists them. Knows no Flask and no engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webapp.api.openai.responses_schema import Item, MessageItem, ReferenceItem, items_of
from webapp.errors import InvalidRequest

DEFAULT_LIMIT = 20
MOST = 100
ORDERS = ("desc", "asc")
PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}

Json = dict[str, Any]
PAGE_QUERY: Mapping[str, Json] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
    "order": {"enum": list(ORDERS), "default": ORDERS[0]},
    "after": {"type": "string", "description": "The id of the item before."},
}
# Returns the items of a saved response by its id.
SavedItems = Callable[[str], Sequence[Mapping[str, Any]]]


def resolved(asked: str | Sequence[Item], saved_items: SavedItems) -> str | list[Item]:
    """Replace references with the saved items. Raises InvalidRequest for an item that does not exist."""
    if isinstance(asked, str):
        return asked
    return [
        _found(item.id, saved_items, f"input[{index}].id") if isinstance(item, ReferenceItem) else item
        for index, item in enumerate(asked)
    ]


def _found(item_id: str, saved_items: SavedItems, param: str) -> Item:
    """Return the saved item with this id. The middle of an item's id is the end of its response's id."""
    number = "".join(item_id.split("_")[1:2])
    found = [item for item in saved_items(f"resp_{number}") if item["id"] == item_id]
    if not found:
        raise InvalidRequest(f"Item with id '{item_id[:64]}' not found.", param, "invalid_value")
    return items_of(found)[0]


def to_keep(asked: str | Sequence[Item], request_id: str) -> list[Json]:
    """Return the request's input as complete items: each has an id, and each message a list of parts."""
    number = request_id.removeprefix("req_")
    items = [MessageItem(role="user", content=asked)] if isinstance(asked, str) else asked
    return [_whole(item, f"{number}_in{index}") for index, item in enumerate(items)]


def _whole(item: Item, number: str) -> Json:
    written = item.model_dump(mode="json", exclude_none=True)
    kind = item.type or "message"
    if isinstance(item, MessageItem) and isinstance(item.content, str):
        spoken = item.role == "assistant"
        more: Json = {"annotations": []} if spoken else {}
        part = {"type": "output_text" if spoken else "input_text", "text": item.content, **more}
        written["content"] = [part]
    return {"id": f"{PREFIXES[kind]}_{number}", "status": "completed", **written, "type": kind}


def page_of(items: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> Json:
    """Return a page in OpenAI's shape, after the item `after`: newest first, unless `order` is "asc"."""
    order = asked.get("order", ORDERS[0])
    if order not in ORDERS:
        raise InvalidRequest(f"'order' must be one of {', '.join(ORDERS)}.", "order", "invalid_value")
    ordered = list(items) if order == "asc" else list(reversed(items))
    limit, first = _limit_of(asked.get("limit", str(DEFAULT_LIMIT))), 0
    if after := asked.get("after"):
        ids = [item["id"] for item in ordered]
        if after not in ids:
            raise InvalidRequest(f"There is no item with the id '{after[:64]}'.", "after", "invalid_value")
        first = ids.index(after) + 1
    page = ordered[first : first + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": first + limit < len(ordered),
    }


def _limit_of(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST):
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {MOST}.", "limit", "invalid_value")
    return int(text)
