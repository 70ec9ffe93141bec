"""The ways in which model families write calls, by the names of mlx-lm's parsers. One more family is one more entry."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from webapp.engine.mlx.grammar.calls.lark import NUMBER
from webapp.engine.mlx.grammar.calls.values import Json, StringForm, Tagged, Values

# A name in the formats that are parsed as Python, whose keywords are no names.
IDENTIFIER = rf"(?!({'|'.join(keyword.kwlist)})$)[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True)
class Family:
    """How one family writes a call: `opening` and `closing`, which name it, with `values` between them.

    Each call has markers of its own and `between` separates calls; with a `section`, one pair encloses all calls and
    `joined` separates them. `bare`: the form of a call without arguments, if it differs.
    """

    opening: str
    closing: str
    values: Values
    between: str = "\n"
    section: tuple[str, str] | None = None
    joined: str = ""
    bare: str = ""
    names: str = r"[\w-]+"

    def fits(self, name: str) -> bool:
        return re.fullmatch(self.names, name) is not None

    def opened(self, name: str) -> str:
        return self.opening.replace("{name}", name)


def _arguments_in(prefix: str, end: str) -> Tagged:
    """<arg_key>name</arg_key><arg_value>value</arg_value>"""
    banned = (f"</{prefix}arg_value>", f"</{prefix}tool_call>")
    return Tagged(
        f"<{prefix}arg_key>{{key}}</{prefix}arg_key>{end}<{prefix}arg_value>",
        f"</{prefix}arg_value>{end}",
        StringForm(banned, strips=True),
    )


# Bare text that json.loads cannot read: it would turn JSON into another value.
NO_JSON = (r'/[^-0-9"\[{](?s:.*)/', "~/(true|false|null|NaN|Infinity)/")

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        # <tool_call>{"name": …, "arguments": {…}}</tool_call>
        "json_tools": Family('\n{"name": "{name}", "arguments": ', "}\n", Json()),
        # [TOOL_CALLS]name[ARGS]{…}
        "mistral": Family("{name}[ARGS]", "", Json(), between=""),
        # functions.name:0<|tool_call_argument_begin|>{…}
        "kimi_k2": Family(
            f"<|tool_call_begin|>functions.{{name}}:{NUMBER}<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
            Json(),
            section=("", ""),
        ),
        # <function=name> <parameter=key> value </parameter> </function>
        "qwen3_coder": Family(
            "\n<function={name}>\n",
            "</function>\n",
            Tagged(
                "<parameter={key}>\n",
                "\n</parameter>\n",
                StringForm(("</parameter>", "</function>", "</tool_call>")),
                reads_null=True,
            ),
        ),
        "glm47": Family("{name}", "", _arguments_in("", "")),
        "longcat": Family("{name}\n", "", _arguments_in("longcat_", "\n"), bare='{"name": "{name}", "arguments": {}}'),
        # <invoke name="name"> <parameter name="key">value</parameter> </invoke>
        "minimax_m2": Family(
            '<invoke name="{name}">\n',
            "</invoke>\n",
            Tagged(
                '<parameter name="{key}">',
                "</parameter>\n",
                StringForm(("</parameter>", "</invoke>", "</minimax:tool_call>"), strips=True),
                reads_null=True,
            ),
            section=("\n", ""),
        ),
        # "name"><param name="key">value</param>
        "minicpm5": Family(
            '"{name}">',
            "",
            Tagged(
                '<param name="{key}">',
                "</param>",
                StringForm(
                    ("</param>", "</function>"),
                    strips=True,
                    allowed=(r"/[^<&\n]*/",),
                    escape=("<![CDATA[", "]]>"),
                ),
                reads_null=True,
            ),
        ),
        # <atem:invoke name="name"> <atem:parameter name="key">value</atem:parameter> </atem:invoke>
        "muse_spark": Family(
            '<atem:invoke name="{name}">\n',
            "</atem:invoke>\n",
            Tagged(
                '<atem:parameter name="{key}">',
                "</atem:parameter>\n",
                StringForm(
                    ("</atem:parameter>", "</atem:invoke>", "</atem:function_calls>"),
                    strips=True,
                    allowed=NO_JSON,
                    or_json=True,
                ),
                reads_null=True,
            ),
            section=("\n", ""),
        ),
        # <|open|>call … <|open|>argument key="key" type="string"<|sep|>value<|close|>argument<|sep|>
        "kimi_k3": Family(
            f'<|open|>call tool="{{name}}" index="{NUMBER}"<|sep|>',
            "<|close|>call<|sep|>",
            Tagged(
                '<|open|>argument key="{key}" type="{type}"<|sep|>',
                "<|close|>argument<|sep|>",
                StringForm(("<|close|>",)),
            ),
            section=("", ""),
        ),
        # [name(key="value", other=2)]
        "pythonic": Family(
            "{name}(",
            ")",
            Tagged("{key}=", "", between=", ", names=IDENTIFIER),
            section=("[", "]"),
            joined=", ",
            names=IDENTIFIER,
        ),
        # call:name{key:<escape>value<escape>,other:2}
        "function_gemma": Family(
            "call:{name}{",
            "}",
            Tagged(
                "{key}:",
                "",
                StringForm(("<escape>", "<end_function_call>"), quote="<escape>", allowed=(r"/[^}]*/",)),
                between=",",
                inner="none",
                reads_null=True,
                names=r"\w+",
            ),
            between="",
            names=r"\w+",
        ),
        # call:name{key:<|"|>value<|"|>,other:{inner:[2]}}
        "gemma4": Family(
            "call:{name}{",
            "}",
            Tagged(
                "{key}:",
                "",
                StringForm(('<|"|>', "<tool_call|>"), quote='<|"|>'),
                between=",",
                inner="own",
                reads_null=True,
                names=r"\w+",
            ),
            between="",
        ),
    }
)
