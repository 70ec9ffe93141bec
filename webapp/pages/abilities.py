"""Describes a model or a profile for the chat page: examples, and what the composer's controls need."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.routing.terms import Target

GUIDE_EXAMPLES = ("What is Hearth?", "How do I connect an OpenAI client?", "Hello, my name is Ada.")
EXAMPLES = (
    "Explain the difference between a process and a thread, with an everyday comparison.",
    "Write a Python function that groups a list of words by their first letter.",
    "Draft a short, friendly mail that moves a meeting from Tuesday to Thursday.",
)


@dataclass(frozen=True, slots=True)
class About:
    """A model as the chat page introduces it; `profile_of` is a profile's model, `thinks` if it thinks by default."""

    id: str
    bundled: bool
    can_think: bool
    thinks: bool
    weights_bytes: int
    context_length: int
    examples: tuple[str, ...]
    profile_of: str | None = None
    instructed: bool = False


def about(target: Target) -> About:
    model = target.model
    return About(
        target.name,
        model.bundled,
        model.can_think,
        target.ways.template_options.get("enable_thinking") is True,
        model.weights_bytes,
        target.context_length,
        GUIDE_EXAMPLES if model.bundled else EXAMPLES,
        profile_of=model.id if target.profile else None,
        instructed=target.ways.system_prompt is not None,
    )
