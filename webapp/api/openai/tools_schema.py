"""The wire schema of tools: the functions that a model may call, and whether it must. Knows no Flask and no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from webapp.api.strict import StrictBody, unsupported
from webapp.errors import InvalidRequest, Place
from webapp.generation import Tool, ToolChoice

PathOf = Callable[[Place], str]
# OpenAI allows 128 and Anthropic names no number; Claude Code offers those of all its MCP servers at once.
MAX_TOOLS = 512
# Types that OpenAI defines. Clients run some of them, but only OpenAI's models are trained to call those.
_UNSUPPORTED_TYPES = frozenset(
    {
        "allowed_tools",
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "custom",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)


def _shape(value: object) -> str:
    return "<object>" if isinstance(value, dict) else "<text>"


def _only_functions(kind: object) -> object:
    if isinstance(kind, str) and kind in _UNSUPPORTED_TYPES:
        raise unsupported("The type '{kind}' is not supported, only 'function' is.", kind=kind)
    return kind


def _schema_of_an_object(schema: dict[str, Any]) -> dict[str, Any]:
    """Check the schema as far as templates and parsers read it."""
    if schema.get("type", "object") != "object":
        raise ValueError("arguments are an object, so the schema's type must be 'object'")
    if not isinstance(schema.get("properties", {}), dict):
        raise ValueError("the schema's properties must be an object")
    return schema


FunctionType = Annotated[Literal["function"], BeforeValidator(_only_functions)]
# Anthropic allows twice what OpenAI does, and names of MCP tools are long.
FunctionName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,128}$")]
Parameters = Annotated[dict[str, Any], AfterValidator(_schema_of_an_object)]


class Function(StrictBody):
    name: FunctionName
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None


class ToolBody(StrictBody):
    type: FunctionType
    function: Function

    def to_tool(self) -> Tool:
        function = self.function
        given: dict[str, Any] = {} if function.parameters is None else {"parameters": function.parameters}
        return Tool(function.name, function.description, strict=bool(function.strict), **given)


class ChosenFunction(StrictBody):
    name: FunctionName


class NamedChoice(StrictBody):
    type: FunctionType
    function: ChosenFunction


ToolBodies = Annotated[list[ToolBody], Field(max_length=MAX_TOOLS, fail_fast=True)]
ChoiceMode = Annotated[Literal["auto", "none", "required"], Tag("<text>")]
ChoiceBody = Annotated[ChoiceMode | Annotated[NamedChoice, Tag("<object>")], Discriminator(_shape)]


def to_tools(
    bodies: Iterable[ToolBody] | None, choice: ChoiceBody | None, path_of: PathOf
) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return the tools and the tool choice of a request. Raises InvalidRequest if they do not fit together."""
    tools = tuple(body.to_tool() for body in bodies or ())
    if isinstance(choice, NamedChoice):
        chosen = ToolChoice("required", choice.function.name)
    else:
        chosen = ToolChoice(choice or "auto")
    check(tools, chosen, path_of)
    return tools, chosen


def check(tools: tuple[Tool, ...], choice: ToolChoice, path_of: PathOf) -> None:
    """Raise InvalidRequest if the tools and the choice do not fit together; `path_of` is the body's method."""
    names = [tool.name for tool in tools]
    for index, tool in enumerate(tools):
        if tool.name in names[:index]:
            param = path_of(("tools", index, "name"))
            raise InvalidRequest(f"Two tools are named '{tool.name}'.", param, "invalid_value")
    if choice.name is not None and choice.name not in names:
        param = path_of(("tool_choice", "name"))
        raise InvalidRequest(f"No tool is named '{choice.name}'.", param, "invalid_value")
    if choice.mode == "required" and not tools:
        raise InvalidRequest("A call can only be required of tools that are given.", "tool_choice", "invalid_value")
