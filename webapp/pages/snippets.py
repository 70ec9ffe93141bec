"""The texts that connect tools to Hearth, to type or to save, and the request that each tool first sends.

Every text runs as it stands, with the address, the key and the model in it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
QUESTION = "Say hello in one sentence."
ANSWER_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Connection:
    """The address, the key and the model in a tool's text. Most tools insist on a key, whatever it is."""

    address: str
    key: str
    model: str

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One text, with the place it goes to and its language."""

    place: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class ClientTool:
    """A tool that can use Hearth through `route`. The page shows it only if Hearth has that route."""

    name: str
    title: str
    route: str
    snippets: Callable[[Connection], tuple[Snippet, ...]]
    remark: str = ""


def body_for(route: str, model: str) -> dict[str, Any]:
    """Return the body of the tool's first request."""
    if route == RESPONSES:
        return {"model": model, "input": QUESTION, "max_output_tokens": ANSWER_TOKENS}
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": ANSWER_TOKENS}


def _curl(to: Connection) -> tuple[Snippet, ...]:
    body = json.dumps(body_for(CHAT, to.model), ensure_ascii=False)
    text = (
        f"curl {shlex.quote(to.address + CHAT)} \\\n"
        f"  -H {shlex.quote(f'Authorization: Bearer {to.key}')} \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}\n"
    )
    return (Snippet("Terminal", "bash", text),)


def _python(to: Connection) -> tuple[Snippet, ...]:
    text = f"""\
from openai import OpenAI

client = OpenAI(base_url={_quoted(to.base_url)}, api_key={_quoted(to.key)})
answer = client.chat.completions.create(
    model={_quoted(to.model)},
    messages=[{{"role": "user", "content": {_quoted(QUESTION)}}}],
    max_tokens={ANSWER_TOKENS},
)
print(answer.choices[0].message.content)
"""
    return (Snippet("pip install openai", "python", text),)


def _javascript(to: Connection) -> tuple[Snippet, ...]:
    text = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(to.base_url)}, apiKey: {_quoted(to.key)} }});
const answer = await client.chat.completions.create({{
  model: {_quoted(to.model)},
  messages: [{{ role: "user", content: {_quoted(QUESTION)} }}],
  max_tokens: {ANSWER_TOKENS},
}});
console.log(answer.choices[0].message.content);
"""
    return (Snippet("npm install openai", "javascript", text),)


def _anthropic(to: Connection) -> tuple[Snippet, ...]:
    text = f"""\
from anthropic import Anthropic

client = Anthropic(base_url={_quoted(to.address)}, api_key={_quoted(to.key)})
answer = client.messages.create(
    model={_quoted(to.model)},
    messages=[{{"role": "user", "content": {_quoted(QUESTION)}}}],
    max_tokens={ANSWER_TOKENS},
)
print("".join(block.text for block in answer.content if block.type == "text"))
"""
    return (Snippet("pip install anthropic", "python", text),)


def _claude_code(to: Connection) -> tuple[Snippet, ...]:
    model = shlex.quote(to.model)
    text = (
        f"export ANTHROPIC_BASE_URL={shlex.quote(to.address)}\n"
        f"export ANTHROPIC_AUTH_TOKEN={shlex.quote(to.key)}\n"
        f"export ANTHROPIC_MODEL={model}\n"
        f"export ANTHROPIC_DEFAULT_HAIKU_MODEL={model}\n"
        "unset ANTHROPIC_API_KEY\n"
        "claude\n"
    )
    return (Snippet("Terminal", "bash", text),)


def _codex(to: Connection) -> tuple[Snippet, ...]:
    text = f"""\
model = {_quoted(to.model)}
model_provider = "hearth"

[model_providers.hearth]
name = "Hearth"
base_url = {_quoted(to.base_url)}
env_key = "HEARTH_API_KEY"
wire_api = "responses"
"""
    run = f"export HEARTH_API_KEY={shlex.quote(to.key)}\ncodex\n"
    return Snippet("~/.codex/config.toml", "toml", text), Snippet("Terminal", "bash", run)


def _opencode(to: Connection) -> tuple[Snippet, ...]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Hearth",
        "options": {"baseURL": to.base_url, "apiKey": to.key},
        "models": {to.model: {"name": to.model}},
    }
    config = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"hearth": provider},
        "model": f"hearth/{to.model}",
    }
    return (Snippet("opencode.json", "json", json.dumps(config, indent=2, ensure_ascii=False) + "\n"),)


def _aider(to: Connection) -> tuple[Snippet, ...]:
    text = (
        f"export OPENAI_API_BASE={shlex.quote(to.base_url)}\n"
        f"export OPENAI_API_KEY={shlex.quote(to.key)}\n"
        f"aider --model {shlex.quote(f'openai/{to.model}')}\n"
    )
    return (Snippet("Terminal", "bash", text),)


def _continue(to: Connection) -> tuple[Snippet, ...]:
    text = f"""\
name: Hearth
version: 0.0.1
schema: v1
models:
  - name: {_quoted(to.model)}
    provider: openai
    model: {_quoted(to.model)}
    apiBase: {_quoted(to.base_url)}
    apiKey: {_quoted(to.key)}
    roles: [chat, edit, apply]
"""
    return (Snippet("~/.continue/config.yaml", "yaml", text),)


def _quoted(text: str) -> str:
    """Quote the text as a JSON string, which Python, JavaScript, TOML and YAML read, too."""
    return json.dumps(text, ensure_ascii=False)


NEEDS_TOOLS = "An agent calls functions: choose a model that was trained to."

TOOLS = (
    ClientTool("curl", "curl", CHAT, _curl),
    ClientTool("python", "Python", CHAT, _python),
    ClientTool("javascript", "JavaScript", CHAT, _javascript),
    ClientTool("anthropic", "Anthropic", MESSAGES, _anthropic),
    ClientTool("claude-code", "Claude Code", MESSAGES, _claude_code, NEEDS_TOOLS),
    ClientTool("codex", "Codex", RESPONSES, _codex, NEEDS_TOOLS),
    ClientTool("opencode", "OpenCode", CHAT, _opencode, NEEDS_TOOLS),
    ClientTool("aider", "Aider", CHAT, _aider),
    ClientTool("continue", "Continue", CHAT, _continue),
)
