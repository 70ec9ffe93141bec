"""Events become OpenAI's JSON here: one answer, or chunks as server-sent events.

All of a chunk but its text is the same from token to token, so it is serialised once and the text
is escaped in between. Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from json.encoder import encode_basestring
from typing import Any, Protocol

from webapp.dialects import error_body
from webapp.errors import HearthError
from webapp.generation import (
    Choice,
    Completion,
    Finish,
    FinishReason,
    GenerationRequest,
    Prefill,
    Reasoning,
    Text,
    TokenLogprob,
    ToolCall,
    Usage,
)
from webapp.generation import Event as GenerationEvent

DONE = b"data: [DONE]\n\n"
_MARK = "\x00"
_ESCAPED_MARK = json.dumps(_MARK)


class Wire(Protocol):
    """One route's way of writing events as chunks, and a whole answer as one body."""

    def opening(self) -> bytes: ...
    def text(self, text: str) -> bytes: ...
    def likely_text(self, text: Text) -> bytes: ...
    def reasoning(self, text: str) -> bytes: ...
    def tool_call(self, piece: ToolCall) -> bytes: ...
    def finish(self, reason: FinishReason) -> bytes: ...
    def usage(self, usage: Usage) -> bytes: ...
    def choice(self, completion: Completion) -> dict[str, object]: ...
    @property
    def head(self) -> dict[str, object]: ...


def server_sent(events: Iterable[GenerationEvent], wires: Sequence[Wire], include_usage: bool) -> Iterator[bytes]:
    """The whole body of a stream, one wire for each choice. A failure is its last message: then there is no [DONE]."""
    yield from filter(None, (wire.opening() for wire in wires))
    try:
        for event in events:
            match event:
                case Choice(index, inner):
                    yield _said(inner, wires[index])
                case Prefill():
                    yield sign_of_life(event)
                case Finish():
                    if len(wires) == 1:
                        yield wires[0].finish(event.reason)
                    if include_usage:
                        yield wires[0].usage(event.usage)
                    yield DONE
                case Text() | Reasoning() | ToolCall():
                    yield _said(event, wires[0])
    except HearthError as error:
        yield _message(error_body(error, "openai"))


def sign_of_life(event: Prefill) -> bytes:
    """A comment: it keeps the connection alive, and clients skip it."""
    return f": prefill {event.done_tokens}/{event.total_tokens}\n\n".encode()


def _said(event: Text | Reasoning | ToolCall | Finish, wire: Wire) -> bytes:
    match event:
        case Text():
            return wire.likely_text(event) if event.tokens else wire.text(event.text)
        case Reasoning():
            return wire.reasoning(event.text)
        case ToolCall():
            return wire.tool_call(event)
        case Finish():
            return wire.finish(event.reason)


def plain(wires: Sequence[Wire], completions: Sequence[Completion], usage: Usage) -> dict[str, object]:
    """The whole answer: all choices in the body of the first."""
    choices = [wire.choice(completion) for wire, completion in zip(wires, completions, strict=True)]
    return {**wires[0].head, "choices": choices, "usage": usage_to_wire(usage)}


class ChatWire:
    """chat.completion and chat.completion.chunk."""

    def __init__(self, request: GenerationRequest, created: int, include_usage: bool, index: int = 0):
        self._index = index
        self._head = {"id": f"chatcmpl-{request.request_id}", "created": created, "model": request.model}
        # With include_usage every chunk but the last says null.
        self._tail: dict[str, object] = {"usage": None} if include_usage else {}
        self._text = _around(self._chunk({"content": _MARK}))
        self._reasoning = _around(self._chunk({"reasoning_content": _MARK}))
        # An answer of calls alone has null for content, and what calls may be in is known at its end only.
        self._owes_content = bool(request.offered_tools)
        self._tells_logprobs = request.top_logprobs is not None

    def opening(self) -> bytes:
        return _message(self._chunk({"role": "assistant", "content": None if self._owes_content else ""}))

    def text(self, text: str) -> bytes:
        self._owes_content = False
        before, after = self._text
        return before + encode_basestring(text).encode() + after

    def likely_text(self, text: Text) -> bytes:
        self._owes_content = False
        return _message(self._chunk({"content": text.text}, logprobs=_chat_logprobs(text.tokens)))

    def reasoning(self, text: str) -> bytes:
        before, after = self._reasoning
        return before + encode_basestring(text).encode() + after

    def tool_call(self, piece: ToolCall) -> bytes:
        self._owes_content = False
        return _message(self._chunk({"tool_calls": [{"index": piece.index} | _call_to_wire(piece)]}))

    def finish(self, reason: FinishReason) -> bytes:
        return _message(self._chunk({"content": ""} if self._owes_content else {}, reason))

    def usage(self, usage: Usage) -> bytes:
        return _message({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage_to_wire(usage)})

    @property
    def head(self) -> dict[str, object]:
        return {**self._head, "object": "chat.completion"}

    def choice(self, completion: Completion) -> dict[str, object]:
        calls = [_call_to_wire(call) for call in completion.tool_calls]
        text = None if calls and not completion.text else completion.text
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        if completion.reasoning:
            message["reasoning_content"] = completion.reasoning
        reason = completion.finish.reason
        logprobs = _chat_logprobs(completion.tokens) if self._tells_logprobs else None
        return {"index": self._index, "message": message, "logprobs": logprobs, "finish_reason": reason}

    def _chunk(
        self, delta: Mapping[str, object], reason: FinishReason | None = None, logprobs: object = None
    ) -> dict[str, object]:
        choice = {"index": self._index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice], **self._tail}


class CompletionWire:
    """text_completion, whole and in chunks. Raw text has no separate reasoning: all of it is the text."""

    def __init__(self, request: GenerationRequest, created: int, include_usage: bool, index: int = 0):
        self._index = index
        self._head = {
            "id": f"cmpl-{request.request_id}",
            "object": "text_completion",
            "created": created,
            "model": request.model,
        }
        self._tail: dict[str, object] = {"usage": None} if include_usage else {}
        self._text = _around(self._chunk(_MARK))
        self._tells_logprobs = request.top_logprobs is not None
        self._said = 0

    def opening(self) -> bytes:
        return b""

    def text(self, text: str) -> bytes:
        before, after = self._text
        return before + encode_basestring(text).encode() + after

    reasoning = text

    def likely_text(self, text: Text) -> bytes:
        return _message(self._chunk(text.text, logprobs=self._logprobs(text.tokens)))

    def tool_call(self, piece: ToolCall) -> bytes:
        raise AssertionError("a bare prompt offers no tools")

    def finish(self, reason: FinishReason) -> bytes:
        return _message(self._chunk("", reason))

    def usage(self, usage: Usage) -> bytes:
        return _message({**self._head, "choices": [], "usage": usage_to_wire(usage)})

    @property
    def head(self) -> dict[str, object]:
        return dict(self._head)

    def choice(self, completion: Completion) -> dict[str, object]:
        logprobs = self._logprobs(completion.tokens) if self._tells_logprobs else None
        return self._choice(completion.reasoning + completion.text, completion.finish.reason, logprobs)

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, object]:
        """The older shape: parallel lists, and where in the text each token begins."""
        words = [_word(token.token) for token in tokens]
        offsets = [*accumulate(map(len, words), initial=self._said)]
        self._said = offsets.pop()
        return {
            "tokens": words,
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [{_word(other): logprob for other, logprob in token.top} for token in tokens],
            "text_offset": offsets,
        }

    def _chunk(self, text: str, reason: FinishReason | None = None, logprobs: object = None) -> dict[str, object]:
        return {**self._head, "choices": [self._choice(text, reason, logprobs)], **self._tail}

    def _choice(self, text: str, reason: FinishReason | None, logprobs: object = None) -> dict[str, object]:
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def usage_to_wire(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _chat_logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, object]:
    content = [
        {**_likelihood(token.token, token.logprob), "top_logprobs": [_likelihood(*other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _likelihood(token: bytes, logprob: float) -> dict[str, object]:
    return {"token": _word(token), "logprob": logprob, "bytes": list(token)}


def _word(token: bytes) -> str:
    """A token may be a part of a letter; its bytes say which."""
    return token.decode(errors="replace")


def _call_to_wire(piece: ToolCall) -> dict[str, object]:
    """A whole call, or a piece of one: only the first has a name."""
    if piece.id is None:
        return {"function": {"arguments": piece.arguments}}
    return {"id": piece.id, "type": "function", "function": {"name": piece.name, "arguments": piece.arguments}}


def _message(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _around(chunk: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The bytes of a chunk before and after the text that the mark stands for."""
    before, _, after = _message(chunk).rpartition(_ESCAPED_MARK.encode())
    return before, after
