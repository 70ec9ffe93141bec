"""The one table of settings: every field with its default, limits, words and when it applies.

Command line, environment, form, validation and docs/settings.md all read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from webapp.addresses import a_host, an_address, an_origin
from webapp.settings.field import Field


def _setting(each: Field) -> Any:
    """A dataclass field of `Settings`, with the `Field` as its metadata."""
    return field(default=each.default, metadata={"field": each})


def text(default: str, section: str, label: str, help: str, **more: Any) -> Any:
    return _setting(Field(label, help, "text", section=section, default=default, **more))


def choice(default: str, choices: tuple[str, ...], section: str, label: str, help: str) -> Any:
    return _setting(Field(label, help, "choice", choices=choices, section=section, default=default))


def models(section: str, label: str, help: str, **more: Any) -> Any:
    return _setting(Field(label, help, "models", section=section, default=(), **more))


def texts(check: Callable[[str], None], unit: str, section: str, label: str, help: str) -> Any:
    return _setting(Field(label, help, "texts", unit=unit, section=section, default=(), check=check))


def number(default: float, limits: tuple[float, float], section: str, label: str, help: str, **more: Any) -> Any:
    return _setting(Field(label, help, "number", *limits, section=section, default=default, **more))


def integer(default: int, limits: tuple[int, int], section: str, label: str, help: str, **more: Any) -> Any:
    return _setting(Field(label, help, "integer", *limits, section=section, default=default, **more))


def number_or_none(limits: tuple[float, float], section: str, label: str, help: str, unset: str) -> Any:
    return _setting(Field(label, help, "number", *limits, section=section, unset=unset))


MODEL_DECIDES = "the model decides"


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all settings at one moment. Immutable: a change replaces the whole object."""

    host: str = text(
        "127.0.0.1",
        "Server",
        "Address",
        "The address to listen on. Others than this machine's own need an admin key first.",
        applies="restart",
        check=an_address,
    )
    port: int = integer(
        10242, (0, 65535), "Server", "Port", "The port for pages and API; 0 takes any free one.", applies="restart"
    )
    allowed_hosts: tuple[str, ...] = texts(
        a_host, "names", "Server", "Further names", "Names besides its own that Hearth answers to. They need a key."
    )
    cors_origins: tuple[str, ...] = texts(
        an_origin, "origins", "Server", "Web pages allowed", "Origins of other sites whose pages may use /v1."
    )
    log_level: str = choice(
        "info", ("debug", "info", "warning", "error"), "Server", "Log level", "The least serious messages logged."
    )
    sign_in: str = choice(
        "off",
        ("off", "on"),
        "Server",
        "Sign-in on this computer",
        "Pages only for the person who started Hearth, where a computer has several accounts. /v1 is as before.",
    )
    max_waiting: int = integer(
        256, (0, 10_000), "Server", "Queue length", "Requests that may wait; more are refused.", unit="requests"
    )
    threads: int = integer(
        1024,
        (128, 8192),
        "Server",
        "Web threads",
        "Requests served at a time, streams included; 64 are kept for pages.",
        unit="threads",
        applies="restart",
    )
    memory_limit: float | None = number_or_none(
        (1e-6, 1e6),
        "Pool",
        "Memory limit",
        "For weights, KV and prefix caches together; left open, a quarter (4 to 8 GiB) is kept for everything else.",
        "automatic",
    )
    memory_limit_mode: str = choice(
        "gb", ("gb", "percent"), "Pool", "Memory limit in", "GB of 10⁹ bytes, or percent of the device's memory."
    )
    eviction_policy: str = choice(
        "lru",
        ("lru", "lfu", "ttl"),
        "Pool",
        "Eviction policy",
        "Which idle model makes room: the least recently used, the least often used, or the one whose idle time ends.",
    )
    idle_minutes: float = number(
        0, (0, 100_000), "Pool", "Idle time", "Models idle for so long are unloaded; 0 keeps them.", unit="minutes"
    )
    max_models: int = integer(
        0, (0, 1000), "Pool", "Models at a time", "More are not loaded at once; 0 leaves it to memory.", unit="models"
    )
    pinned: tuple[str, ...] = models("Pool", "Pinned models", "Never evicted and never unloaded for idling.")
    preload: tuple[str, ...] = models("Pool", "Preloaded models", "Loaded in the background when Hearth starts.")
    batch_size: int = integer(
        32, (1, 256), "Scheduling", "Batch size", "Answers that one model writes at a time.", unit="sequences"
    )
    prefill_tokens: int = integer(
        2048, (16, 16_384), "Scheduling", "Prefill chunk", "The most prompt tokens of one step.", unit="tokens"
    )
    stall_ms: int = integer(
        100,
        (5, 2000),
        "Scheduling",
        "Longest pause",
        "What new prompts may hold up running answers; twice that while more wait than run.",
        unit="ms",
    )
    prefix_cache_mb: int = integer(
        1024, (0, 1_048_576), "Scheduling", "Prefix cache", "Memory for prompts kept for reuse.", unit="MB"
    )
    queue_seconds: float = number(
        600, (0, 1e6), "Timeouts", "Queue timeout", "Requests waiting for so long are refused; 0 never.", unit="seconds"
    )
    first_token_seconds: float = number(
        900, (0, 1e6), "Timeouts", "First token timeout", "From arrival to the first token; 0 never.", unit="seconds"
    )
    total_seconds: float = number(
        0, (0, 1e6), "Timeouts", "Total timeout", "From arrival to the last token; 0 never.", unit="seconds"
    )
    max_tokens: int = integer(
        2048, (1, 1_000_000), "Generation", "Answer length", "Where answers end unless a request says.", unit="tokens"
    )
    temperature: float | None = number_or_none(
        (0, 2),
        "Generation",
        "Temperature",
        "For models that recommend none; 0 always takes the likeliest token.",
        MODEL_DECIDES,
    )
    top_p: float | None = number_or_none(
        (0, 1),
        "Generation",
        "Top p",
        "For models that recommend none; the share of likeliest tokens to choose from.",
        MODEL_DECIDES,
    )
    audit_content: str = choice(
        "none",
        ("none", "hashes", "full"),
        "Privacy",
        "Content in the audit",
        "What the audit keeps of prompts and answers: nothing, SHA-256 hashes, or the text itself.",
    )
    audit_days: int = integer(
        30, (1, 3650), "Privacy", "Audit kept for", "Older rows of the audit are deleted.", unit="days"
    )
    audit_mb: int = integer(
        200, (1, 100_000), "Privacy", "Audit size", "Beyond it the oldest rows of the audit are deleted.", unit="MB"
    )
    theme: str = choice(
        "auto", ("auto", "light", "dark"), "Appearance", "Theme", "Light, dark, or as the system is set."
    )

    def contradictions(self) -> dict[str, str]:
        """Checks settings against each other; an error message for each one that contradicts another."""
        if self.memory_limit_mode == "percent" and self.memory_limit is not None and self.memory_limit > 100:
            return {"memory_limit": "Memory limit must be at most 100 percent."}
        return {}


def table() -> dict[str, Field]:
    """Every setting, in the order of the page."""
    return {each.name: each.metadata["field"] for each in fields(Settings)}


def variable_name(name: str) -> str:
    return f"HEARTH_{name.upper()}"


def option_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"
