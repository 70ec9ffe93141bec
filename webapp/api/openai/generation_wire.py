"""Turns events into OpenAI's JSON: one answer, or chunks as server-sent events.

Only the text differs between the chunks of a choice, so the rest is serialised once and the text
is inserted, escaped. Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from json.encoder import encode_basestring
from typing import Any, Protocol

from webapp.api.wire import server_sent, sign_of_life
from webapp.dialects import error_body
from webapp.errors import HearthError
from webapp.generation import (
    Choice,
    Completion,
    Event,
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
from webapp.providers.side_by_side import collect_all

DONE = b"data: [DONE]\n\n"
_MARK = "\x00"
_ESCAPED_MARK = json.dumps(_MARK)


class AnyChoice(Protocol):
    """Writes one of the answers to a request: as chunks, or as an entry of the whole answer."""

    def opening(self) -> bytes: ...
    def text(self, text: str) -> bytes: ...
    def likely_text(self, text: Text) -> bytes: ...
    def reasoning(self, text: str) -> bytes: ...
    def tool_call(self, piece: ToolCall) -> bytes: ...
    def finish(self, reason: FinishReason) -> bytes: ...
    def whole(self, completion: Completion) -> dict[str, object]: ...


class GenerationWire:
    """The part that both routes share: writes several choices, as chunks in the order of their events or in one body.

    `head` holds the fields of a whole answer before its choices, and `chunk_head` those of a chunk.
    """

    def __init__(
        self,
        choices: Sequence[AnyChoice],
        head: Mapping[str, object],
        chunk_head: Mapping[str, object],
        include_usage: bool,
    ):
        self._choices = choices
        self._head = head
        self._chunk_head = chunk_head
        self._include_usage = include_usage

    def stream(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Yield the whole body of a stream. After a failure the last message is an error, and no [DONE] follows."""
        choices, first = self._choices, self._choices[0]
        yield from filter(None, (choice.opening() for choice in choices))
        try:
            for event in events:
                match event:
                    case Choice(index, inner):
                        yield _written(inner, choices[index])
                    case Text() | Reasoning() | ToolCall():
                        yield _written(event, first)
                    case Prefill():
                        yield sign_of_life(event)
                    case Finish():
                        yield from self._ending(event)
        except HearthError as error:
            yield server_sent(error_body(error, "openai"))

    def plain(self, events: Iterator[Event]) -> dict[str, object]:
        """Return the whole answer with all its choices."""
        completions, usage = collect_all(events, len(self._choices))
        pairs = zip(self._choices, completions, strict=True)
        choices = [choice.whole(completion) for choice, completion in pairs]
        return {**self._head, "choices": choices, "usage": usage_to_wire(usage)}

    def _ending(self, finish: Finish) -> Iterator[bytes]:
        """Yield the last chunks. Several choices have each had their own finish before."""
        if len(self._choices) == 1:
            yield self._choices[0].finish(finish.reason)
        if self._include_usage:
            yield server_sent({**self._chunk_head, "choices": [], "usage": usage_to_wire(finish.usage)})
        yield DONE


def _written(event: Text | Reasoning | ToolCall | Finish, choice: AnyChoice) -> bytes:
    match event:
        case Text():
            return choice.likely_text(event) if event.tokens else choice.text(event.text)
        case Reasoning():
            return choice.reasoning(event.text)
        case ToolCall():
            return choice.tool_call(event)
        case Finish():
            return choice.finish(event.reason)


class ChatWire(GenerationWire):
    """chat.completion and chat.completion.chunk, with a choice for each of the requests."""

    def __init__(self, requests: Sequence[GenerationRequest], created: int, include_usage: bool):
        request = requests[0]
        head = {"id": f"chatcmpl-{request.request_id}", "created": created, "model": request.model}
        chunk_head = {**head, "object": "chat.completion.chunk"}
        choices = [ChatChoice(each, index, chunk_head, include_usage) for index, each in enumerate(requests)]
        super().__init__(choices, {**head, "object": "chat.completion"}, chunk_head, include_usage)


class CompletionWire(GenerationWire):
    """text_completion, whole and in chunks. `echoed` are the prompts, if the answers begin with them."""

    def __init__(
        self, requests: Sequence[GenerationRequest], created: int, include_usage: bool, echoed: Sequence[Event] = ()
    ):
        request = requests[0]
        head = {
            "id": f"cmpl-{request.request_id}",
            "object": "text_completion",
            "created": created,
            "model": request.model,
        }
        choices = [CompletionChoice(each, index, head, include_usage) for index, each in enumerate(requests)]
        super().__init__(choices, head, head, include_usage)
        self._echoed = echoed

    def stream(self, events: Iterable[Event]) -> Iterator[bytes]:
        return super().stream(chain(self._echoed, events))

    def plain(self, events: Iterator[Event]) -> dict[str, object]:
        return super().plain(chain(self._echoed, events))


class ChatChoice:
    """One answer of a chat."""

    def __init__(self, request: GenerationRequest, index: int, head: Mapping[str, object], include_usage: bool):
        self._index = index
        self._head = head
        # With include_usage every chunk but the last has null for its usage.
        self._tail: dict[str, object] = {"usage": None} if include_usage else {}
        self._text = _around(self._chunk({"content": _MARK}))
        self._reasoning = _around(self._chunk({"reasoning_content": _MARK}))
        # An answer of calls alone has null for content; text that may hold a call is settled only at the end.
        self._owes_content = bool(request.offered_tools)
        self._tells_logprobs = request.top_logprobs is not None

    def opening(self) -> bytes:
        return server_sent(self._chunk({"role": "assistant", "content": None if self._owes_content else ""}))

    def text(self, text: str) -> bytes:
        self._owes_content = False
        before, after = self._text
        return before + encode_basestring(text).encode() + after

    def likely_text(self, text: Text) -> bytes:
        self._owes_content = False
        return server_sent(self._chunk({"content": text.text}, logprobs=_chat_logprobs(text.tokens)))

    def reasoning(self, text: str) -> bytes:
        before, after = self._reasoning
        return before + encode_basestring(text).encode() + after

    def tool_call(self, piece: ToolCall) -> bytes:
        self._owes_content = False
        return server_sent(self._chunk({"tool_calls": [{"index": piece.index} | _call_to_wire(piece)]}))

    def finish(self, reason: FinishReason) -> bytes:
        return server_sent(self._chunk({"content": ""} if self._owes_content else {}, reason))

    def whole(self, completion: Completion) -> dict[str, object]:
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
        return {**self._head, "choices": [choice], **self._tail}


class CompletionChoice:
    """One continuation of a prompt. It has no separate reasoning: all of that counts as text."""

    def __init__(self, request: GenerationRequest, index: int, head: Mapping[str, object], include_usage: bool):
        self._index = index
        self._head = head
        self._tail: dict[str, object] = {"usage": None} if include_usage else {}
        self._text = _around(self._chunk(_MARK))
        self._tells_logprobs = request.top_logprobs is not None
        self._characters = 0

    def opening(self) -> bytes:
        return b""

    def text(self, text: str) -> bytes:
        before, after = self._text
        return before + encode_basestring(text).encode() + after

    reasoning = text

    def likely_text(self, text: Text) -> bytes:
        return server_sent(self._chunk(text.text, logprobs=self._logprobs(text.tokens)))

    def tool_call(self, piece: ToolCall) -> bytes:
        raise AssertionError("a bare prompt offers no tools")

    def finish(self, reason: FinishReason) -> bytes:
        return server_sent(self._chunk("", reason))

    def whole(self, completion: Completion) -> dict[str, object]:
        logprobs = self._logprobs(completion.tokens) if self._tells_logprobs else None
        return self._choice(completion.reasoning + completion.text, completion.finish.reason, logprobs)

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, object]:
        """Return the logprobs in the older shape: parallel lists, with each token's offset in the text."""
        words = [_word(token.token) for token in tokens]
        offsets = [*accumulate(map(len, words), initial=self._characters)]
        self._characters = offsets.pop()
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
    """Return the token as text; a part of a character becomes U+FFFD."""
    return token.decode(errors="replace")


def _call_to_wire(piece: ToolCall) -> dict[str, object]:
    """Return a whole call or a piece of one as JSON: only the first piece has an id and a name."""
    if piece.id is None:
        return {"function": {"arguments": piece.arguments}}
    return {"id": piece.id, "type": "function", "function": {"name": piece.name, "arguments": piece.arguments}}


def _around(chunk: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the bytes of a chunk before and after its text, for which the mark stands."""
    before, _, after = server_sent(chunk).rpartition(_ESCAPED_MARK.encode())
    return before, after
