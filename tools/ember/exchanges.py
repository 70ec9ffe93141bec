"""The exchange: one question with its right answer, as the lessons make them and the evaluation checks them."""

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
UNKNOWN = "I am only a tiny guide and do not know that. A larger model from the Models page can help."


@dataclass(frozen=True, slots=True)
class Exchange:
    """Messages that end in an assistant's; `thought` is what it thinks when thinking is on."""

    messages: list[Message]
    thought: str
    tools: list[Message] = field(default_factory=list)

    @property
    def answer(self) -> Message:
        return self.messages[-1]


def plain(question: str, answer: str, thought: str) -> Exchange:
    """A question in words and an answer in words."""
    return Exchange([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], thought)
