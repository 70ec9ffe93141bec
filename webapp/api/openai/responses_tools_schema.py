"""The wire schema of the tools of /v1/responses: functions, and namespaces of them. Knows no Flask and no engine.

The model sees a function of a namespace under both names, joined; clients send and get them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from webapp.api.openai.tools_schema import MAX_TOOLS, ChoiceMode, FunctionName, FunctionType, Parameters, PathOf, check
from webapp.api.strict import StrictBody
from webapp.errors import InvalidRequest, Place, UnsupportedParameter
from webapp.generation import Tool, ToolChoice

# Codex always offers these, whichever server it talks to.
HOSTED = (
    "image_generation",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
)
Callee = dict[str, str]


class FunctionTool(StrictBody):
    type: FunctionType
    name: FunctionName
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None

    def to_tool(self, namespace: str | None = None) -> Tool:
        given: dict[str, Any] = {} if self.parameters is None else {"parameters": self.parameters}
        name = joined_name(namespace, self.name)
        return Tool(name, self.description, strict=bool(self.strict), **given)


class Namespace(StrictBody):
    """Functions under a common name, like those of an MCP server. The model does not see its description."""

    type: Literal["namespace"]
    name: FunctionName
    description: str | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS, fail_fast=True)]


class HostedTool(StrictBody):
    """A tool that OpenAI runs itself. Agents offer it beside their own functions; Hearth leaves it out."""

    left_out: ClassVar[bool] = True

    type: str


def _tag_of_tool(tool: object) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "<hosted>" if kind in HOSTED else "<namespace>" if kind == "namespace" else "<function>"


AnyTool = Annotated[
    Annotated[FunctionTool, Tag("<function>")]
    | Annotated[Namespace, Tag("<namespace>")]
    | Annotated[HostedTool, Tag("<hosted>")],
    Discriminator(_tag_of_tool),
]
AnyTools = Annotated[list[AnyTool], Field(max_length=MAX_TOOLS, fail_fast=True)]


class ResponseNamedFunction(StrictBody):
    type: FunctionType
    name: FunctionName


def _shape_of_choice(value: object) -> str:
    return "<object>" if isinstance(value, dict | ResponseNamedFunction) else "<text>"


ResponseChoice = Annotated[
    ChoiceMode | Annotated[ResponseNamedFunction, Tag("<object>")], Discriminator(_shape_of_choice)
]


def to_tools(
    offered: Sequence[AnyTool], asked: ChoiceMode | ResponseNamedFunction, path_of: PathOf
) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return the tools and the tool choice of a request. Raises InvalidRequest if they do not fit together."""
    tools = tuple(function.to_tool(namespace) for _, namespace, function in _functions(offered))
    if len(tools) > MAX_TOOLS:
        raise InvalidRequest(f"More than {MAX_TOOLS} functions are offered.", "tools", "invalid_value")
    if offered and not tools:
        raise UnsupportedParameter(f"Tools of type '{offered[0].type}' are not supported.", "tools[0].type")
    choice = ToolChoice("required", asked.name) if isinstance(asked, ResponseNamedFunction) else ToolChoice(asked)
    check(tools, choice, path_of)
    return tools, choice


def callees(offered: Sequence[AnyTool]) -> Mapping[str, Callee]:
    """Return the functions of namespaces, by the joined name that the model calls."""
    return {
        joined_name(namespace, function.name): {"namespace": namespace, "name": function.name}
        for _, namespace, function in _functions(offered)
        if namespace is not None
    }


def paths_of(offered: Sequence[AnyTool]) -> list[Place]:
    """Return the path of each function in the client's body."""
    return [path for path, _, _ in _functions(offered)]


def joined_name(namespace: str | None, name: str) -> str:
    return name if namespace is None else f"{namespace.rstrip('_')}__{name}"


def _functions(offered: Sequence[AnyTool]) -> Iterator[tuple[Place, str | None, FunctionTool]]:
    """Yield each function with its path in the client's body and its namespace."""
    for index, tool in enumerate(offered):
        match tool:
            case FunctionTool():
                yield ("tools", index), None, tool
            case Namespace():
                for inner, function in enumerate(tool.tools):
                    yield ("tools", index, "tools", inner), tool.name, function
