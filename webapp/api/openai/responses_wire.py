"""Turns events into a response's items: a stream of response events, or the response that the last one holds.

Knows no Flask and no engine.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from webapp.api.wire import server_sent, sign_of_life
from webapp.errors import HearthError
from webapp.generation import Event, Finish, FinishReason, Prefill, Reasoning, Text, ToolCall, Usage

Json = dict[str, Any]
Keep = Callable[[Json], bool]

STATUSES: dict[FinishReason, str] = {
    "stop": "completed",
    "tool_calls": "completed",
    "length": "incomplete",
    "cancelled": "cancelled",
}


class ResponseWire:
    """Writes one response. `asked` are the request's fields that it repeats; `keep` stores it and returns success.

    `callees` maps the joined names of functions in namespaces, as the model calls them, to the client's names.
    """

    def __init__(
        self,
        request_id: str,
        model: str,
        created: int,
        asked: Json,
        keep: Keep | None = None,
        callees: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ):
        self._keep = keep
        self._callees = callees
        self._number = request_id.removeprefix("req_")
        self._response: Json = {
            "id": f"resp_{self._number}",
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "previous_response_id": None,
            "store": keep is not None,
            "usage": None,
            **asked,
        }
        self._item: Json | None = None

    def stream(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Yield the whole body. After a failure the last event is response.failed."""
        numbers = itertools.count()
        for said in self._all(events):
            if isinstance(said, Prefill):
                yield sign_of_life(said)
                continue
            yield server_sent({**said, "sequence_number": next(numbers)}, said["type"])

    def plain(self, events: Iterable[Event]) -> Json:
        """Return the whole response. Raises the HearthError that ended it."""
        for event in events:
            for _ in self._say(event):
                pass
        return self._response

    def _all(self, events: Iterable[Event]) -> Iterator[Json | Prefill]:
        yield self._lifecycle_event("created")
        yield self._lifecycle_event("in_progress")
        try:
            for event in events:
                if isinstance(event, Prefill):
                    yield event
                yield from self._say(event)
        except HearthError as error:
            self._response |= {"status": "failed", "store": False, "error": {"code": error.code, "message": str(error)}}
            yield self._lifecycle_event("failed")

    def _say(self, event: Event) -> Iterator[Json]:
        match event:
            case Prefill():
                return
            case Text():
                yield from self._open_text("message", {"role": "assistant"}, "output_text", {"annotations": []})
                yield from self._grow("output_text", event.text)
            case Reasoning():
                yield from self._open_text("reasoning", {"summary": []}, "reasoning_text", {})
                yield from self._grow("reasoning_text", event.text)
            case ToolCall():
                if event.id is not None:
                    callee = self._callees.get(event.name or "", {"name": event.name})
                    yield from self._open("function_call", {"call_id": event.id, **callee, "arguments": ""})
                if self._item is not None and event.arguments:
                    self._item["arguments"] += event.arguments
                    yield self._of_item("function_call_arguments.delta", delta=event.arguments)
            case Finish():
                yield from self._close("completed" if event.reason in ("stop", "tool_calls") else "incomplete")
                yield self._end(event)

    def _open_text(self, kind: str, item: Json, part_kind: str, part: Json) -> Iterator[Json]:
        if self._item is not None and self._item["type"] == kind:
            return
        yield from self._open(kind, {**item, "content": []})
        if self._item is not None:
            self._item["content"].append({"type": part_kind, "text": "", **part})
            yield self._of_part("content_part.added", part=self._part)

    def _grow(self, kind: str, text: str) -> Iterator[Json]:
        self._part["text"] += text
        more: Json = {"logprobs": []} if kind == "output_text" else {}
        yield self._of_part(f"{kind}.delta", delta=text, **more)

    def _open(self, kind: str, fields: Json) -> Iterator[Json]:
        yield from self._close("completed")
        prefix = {"message": "msg", "reasoning": "rs", "function_call": "fc"}[kind]
        name = f"{prefix}_{self._number}_{len(self._response['output'])}"
        self._item = {"type": kind, "id": name, "status": "in_progress", **fields}
        self._response["output"].append(self._item)
        yield self._of_output("output_item.added")

    def _close(self, status: str) -> Iterator[Json]:
        if self._item is None:
            return
        if self._item["type"] == "function_call":
            done = {"name": self._item["name"], "arguments": self._item["arguments"]}
            yield self._of_item("function_call_arguments.done", **done)
        else:
            more: Json = {"logprobs": []} if self._item["type"] == "message" else {}
            yield self._of_part(f"{self._part['type']}.done", text=self._part["text"], **more)
            yield self._of_part("content_part.done", part=self._part)
        self._item["status"] = status
        yield self._of_output("output_item.done")
        self._item = None

    def _end(self, finish: Finish) -> Json:
        status = STATUSES[finish.reason]
        self._response |= {"status": status, "usage": usage_to_wire(finish.usage)}
        if status == "incomplete":
            self._response["incomplete_details"] = {"reason": "max_output_tokens"}
        # A client that left never sees the finished response, so it is not stored.
        if self._keep and finish.cancelled_by != "client":
            self._response["store"] = self._keep(self._response)
        return self._lifecycle_event("completed" if status == "completed" else "incomplete")

    @property
    def _part(self) -> Json:
        """The only part of the open text item."""
        part: Json = self._response["output"][-1]["content"][0]
        return part

    def _lifecycle_event(self, what: str) -> Json:
        return {"type": f"response.{what}", "response": copy.deepcopy(self._response)}

    def _of_output(self, what: str) -> Json:
        index = len(self._response["output"]) - 1
        return {"type": f"response.{what}", "output_index": index, "item": copy.deepcopy(self._item)}

    def _of_item(self, what: str, **fields: Any) -> Json:
        output = self._response["output"]
        place = {"item_id": output[-1]["id"], "output_index": len(output) - 1}
        return {"type": f"response.{what}", **place, **copy.deepcopy(fields)}

    def _of_part(self, what: str, **fields: Any) -> Json:
        return self._of_item(what, content_index=0, **fields)


def usage_to_wire(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
