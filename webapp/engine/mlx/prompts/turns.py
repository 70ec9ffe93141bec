"""Turns messages into the form that chat templates read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from webapp.generation import Call, Message

Turn = dict[str, Any]
Turns = list[Turn]

INSTRUCTIONS = ("system", "developer")


def turn_of(message: Message, knows_developer: bool, wants_short_ids: bool) -> Turn:
    """A message as templates read it. A call and its result still share an id."""
    role = "system" if message.role == "developer" and not knows_developer else message.role
    turn: Turn = {"role": role, "content": message.text}
    if message.name is not None:
        turn["name"] = message.name
    if message.call_id is not None:
        turn["tool_call_id"] = _call_id(message.call_id, wants_short_ids)
    if message.calls:
        turn["tool_calls"] = [_made(call, wants_short_ids) for call in message.calls]
    return turn


def _made(call: Call, wants_short_ids: bool) -> dict[str, object]:
    function = {"name": call.name, "arguments": _arguments(call.arguments)}
    return {"id": _call_id(call.id, wants_short_ids), "type": "function", "function": function}


def _arguments(text: str) -> object:
    """A call's arguments as the object that templates expect; still text if they are no object or not encodable."""
    try:
        parsed = json.loads(text)
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return text
    return parsed if isinstance(parsed, dict) else text


def _call_id(given: str, wants_short_ids: bool) -> str:
    """The id, or with `wants_short_ids` one of nine letters and digits, as Mistral's templates demand."""
    if not wants_short_ids or (len(given) == 9 and given.isalnum()):
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:9]


def beginning(turns: Turns) -> str:
    """The beginning of the answer: the text of the last turn if it is the model's own, else empty."""
    last = turns[-1]
    return "" if last["role"] != "assistant" or "tool_calls" in last else str(last["content"])


def without_empty_end(turns: Turns) -> Turns:
    """The turns without a last turn of the model that is empty."""
    *earlier, last = turns
    is_empty = last["role"] == "assistant" and "tool_calls" not in last and not last["content"].strip()
    return earlier if earlier and is_empty else turns


def name_results(turns: Turns) -> None:
    """Add the function's name to each result, which some templates write; OpenAI's clients send only the call's id."""
    names = {call["id"]: call["function"]["name"] for turn in turns for call in turn.get("tool_calls", ())}
    for turn in turns:
        if turn["role"] == "tool" and turn.get("tool_call_id") in names:
            turn.setdefault("name", names[turn["tool_call_id"]])


def gathered(turns: Turns) -> Turns:
    """The turns as strict templates want: instructions in one turn at the front, and no two of the same role in a row.

    Agents instruct twice at the front and again later; later instructions become turns of the user.
    """
    told: Turns = []
    for turn in turns:
        if told and told[-1]["role"] not in INSTRUCTIONS and turn["role"] in INSTRUCTIONS:
            turn = {**turn, "role": "user"}
        if told and _are_one(told[-1], turn):
            told[-1] = {**told[-1], "content": f"{told[-1]['content']}\n\n{turn['content']}"}
        else:
            told.append(turn)
    return told


def _are_one(turn: Turn, following: Turn) -> bool:
    """Whether two turns are to become one; results of tools and turns with calls stay apart."""
    both = (turn, following)
    instruct = all(each["role"] in INSTRUCTIONS for each in both)
    alike = turn["role"] == following["role"] != "tool"
    return instruct or (alike and not any("tool_calls" in each for each in both))
