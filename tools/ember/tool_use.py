"""Questions that a tool answers, and answers made from what a tool returned.

The tools are shown as JSON in the system message; the model must pick the one that fits, take its parameter's name
from there and copy the argument from the question.
"""

import json
import random
from dataclasses import dataclass

from .exchanges import Exchange, Message
from .phrases import expand, vary
from .words import Words


@dataclass(frozen=True, slots=True)
class Tool:
    """A kind of tool under its many names; `{a}` and `{b}` in the questions stand for its arguments."""

    names: tuple[str, ...]
    parameters: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    descriptions: tuple[str, ...]
    patterns: tuple[str, ...]
    held_out: tuple[str, ...]


TOOLS = (
    Tool(
        ("get_weather", "weather", "current_weather", "fetch_weather", "get_current_weather"),
        (("city", "location", "place", "town"),),
        ("place",),
        (
            "Get the weather in a city",
            "The current weather",
            "Get the current weather for a location",
            "Weather report",
        ),
        (
            "(what is|how is|tell me) the weather [like] in {a} [today|now]",
            "(will it|does it) rain in {a} [today|tomorrow]",
            "is it (cold|warm|sunny|raining) in {a} [today|now]",
            "weather in {a} [please]",
            "how (cold|warm) is it in {a}",
            "(check|get|look up) the weather (in|for) {a}",
        ),
        (
            "what weather does {a} have",
            "I am going to {a}, how is the weather there",
            "do I need an umbrella in {a}, what is the weather",
        ),
    ),
    Tool(
        ("search", "web_search", "search_web", "find", "lookup"),
        (("query", "q", "text", "term"),),
        ("words",),
        ("Search the web", "Look something up", "Full text search", "Find pages"),
        (
            "search [the web] for {a}",
            "(look up|find|google) {a}",
            "find (something|pages) about {a}",
            "(can you|please) search for {a}",
            "what does the web say about {a}",
        ),
        ("do a search for {a}", "look on the web for {a}"),
    ),
    Tool(
        ("get_time", "current_time", "time_in", "clock"),
        (("city", "zone", "timezone", "place"),),
        ("place",),
        ("The time in a city", "Get the current time", "Local time of a place"),
        (
            "what time is it in {a} [now]",
            "(what is|tell me) the time in {a}",
            "time in {a} [please]",
            "how late is it in {a}",
        ),
        ("do you know what time it is in {a}", "which time is it in {a}"),
    ),
    Tool(
        ("get_population", "population", "count_people"),
        (("city", "place", "country"),),
        ("place",),
        ("How many people live there", "Population of a place"),
        (
            "how many people live in {a}",
            "what is the population of {a}",
            "(how big|how large) is {a}",
            "population of {a}",
        ),
        ("tell me how many people live in {a}", "look up the population of {a}"),
    ),
    Tool(
        ("translate", "translate_text", "translator"),
        (("text", "words", "phrase"),),
        ("words",),
        ("Translate a text", "Translate words to German"),
        ("translate {a}", "(please|can you) translate {a}", "what is {a} in German", "how do you say {a} in French"),
        ("give me a translation of {a}", "I need you to translate {a}"),
    ),
    Tool(
        ("set_timer", "start_timer", "timer"),
        (("minutes", "duration", "time"),),
        ("number",),
        ("Start a timer", "Set a timer in minutes"),
        (
            "set a timer for {a} minutes",
            "(start|make) a timer of {a} minutes",
            "timer {a} minutes [please]",
            "wake me in {a} minutes",
        ),
        ("I need a timer for {a} minutes", "set the timer to {a} minutes"),
    ),
    Tool(
        ("play_music", "play", "play_song"),
        (("title", "song", "name"),),
        ("words",),
        ("Play a song", "Play music by title"),
        ("play {a} [please]", "(play|start) the song {a}", "i want to hear {a}", "put on {a}"),
        ("can you play {a}", "let me hear the song {a}"),
    ),
    Tool(
        ("send_message", "send_mail", "message"),
        (("to", "recipient", "person"), ("text", "body", "content")),
        ("name", "words"),
        ("Send a message to a person", "Write to somebody"),
        (
            "(send|write) {a} [a message|a mail]: {b}",
            "tell {a}: {b}",
            "(message|mail) {a}: {b}",
            "send a message to {a}: {b}",
        ),
        ("write a message to {a}: {b}", "please message {a}: {b}"),
    ),
    Tool(
        ("convert", "convert_currency", "convert_units"),
        (("amount", "value", "number"), ("unit", "to", "target")),
        ("number", "unit"),
        ("Convert a value to a unit", "Convert amounts"),
        ("convert {a} to {b}", "(how much is|what is) {a} in {b}", "(change|turn) {a} into {b}"),
        ("please convert {a} into {b}", "I want {a} as {b}"),
    ),
    Tool(
        ("get_price", "price", "lookup_price"),
        (("item", "product", "name"),),
        ("words",),
        ("The price of a product", "Look up a price"),
        ("what does {a} cost", "(what is|tell me) the price of {a}", "how expensive is {a}", "price of {a}"),
        ("how much do I pay for {a}", "look up the price of {a}"),
    ),
    Tool(
        ("read_file", "open_file", "cat"),
        (("path", "file", "filename"),),
        ("file",),
        ("Read a file", "Open a text file"),
        ("(open|read|show) [me] [the file] {a}", "what is in [the file] {a}", "what does {a} say"),
        ("print the file {a}", "let me see {a}"),
    ),
)


def tool_call(rng: random.Random, held_out: bool = False) -> Exchange:
    """A question with one to three tools at hand, one of which fits."""
    exchange, _ = _call(rng, held_out)
    return exchange


def tool_result(rng: random.Random, held_out: bool = False) -> Exchange:
    """The same, and then what the tool returned and the answer from it."""
    called, arguments = _call(rng, held_out)
    words = Words(rng, held_out)
    first = next(iter(arguments.values()))
    returned, answer = _returned(words, str(first))
    messages = [*called.messages, {"role": "tool", "content": returned}, {"role": "assistant", "content": answer}]
    return Exchange(messages, "The tool has answered. I pass that on.", called.tools)


def offer(rng: random.Random, held_out: bool = False) -> list[Message]:
    """A few tools for a conversation that does not need them."""
    return [_shown(tool, rng)[0] for tool in rng.sample(TOOLS, rng.choice((1, 1, 2)))]


def _call(rng: random.Random, held_out: bool) -> tuple[Exchange, dict[str, str | int]]:
    tools = rng.sample(TOOLS, rng.choice((1, 1, 1, 2, 2, 3)))
    shown = [_shown(tool, rng) for tool in tools]
    chosen, (schema, keys) = tools[0], shown[0]
    words = Words(rng, held_out)
    values = [_argument(kind, words) for kind in chosen.kinds]
    question = expand(rng.choice(chosen.held_out if held_out else chosen.patterns), rng)
    question = vary(question.replace("{a}", str(values[0])), rng, "" if "words" in chosen.kinds else "?")
    question = question.replace("{b}", str(values[-1]))
    arguments = dict(zip(keys, values, strict=True))
    call = {"type": "function", "function": {"name": schema["function"]["name"], "arguments": arguments}}
    rng.shuffle(shown)
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    thought = f"The tool {schema['function']['name']} fits, with {', '.join(str(value) for value in values)}."
    return Exchange(messages, thought, [entry for entry, _ in shown]), arguments


def _shown(tool: Tool, rng: random.Random) -> tuple[Message, list[str]]:
    keys = [rng.choice(names) for names in tool.parameters]
    types = ["integer" if kind == "number" else "string" for kind in tool.kinds]
    properties = {key: {"type": kind} for key, kind in zip(keys, types, strict=True)}
    if rng.random() < 0.3:
        properties = {key: {**kind, "description": f"The {key}"} for key, kind in properties.items()}
    parameters = {"type": "object", "properties": properties, "required": keys}
    function: Message = {"name": rng.choice(tool.names), "description": rng.choice(tool.descriptions)}
    return {"type": "function", "function": {**function, "parameters": parameters}}, keys


def _argument(kind: str, words: Words) -> str | int:
    match kind:
        case "place":
            return words.place()
        case "name":
            return words.name()
        case "number":
            return words.number(1, 120)
        case "unit":
            return words.any("units")
        case "file":
            return words.made_up().lower() + words.rng.choice((".txt", ".md", ".py", ".json", ".csv"))
        case _:
            return words.some(1, 4)


def _returned(words: Words, subject: str) -> tuple[str, str]:
    """What a tool may return, and the sentence that says so."""
    rng = words.rng
    degrees, sky = words.number(-15, 38), words.any("skies")
    match rng.randrange(4):
        case 0:
            report: Message = {"temperature": degrees, rng.choice(("condition", "sky")): sky}
            if rng.random() < 0.4:
                report = {rng.choice(("city", "location")): subject, **report}
            return json.dumps(report), f"It is {degrees} degrees and {sky}."
        case 1:
            return (text := f"{degrees} degrees, {sky}"), f"The tool says: {text}"
        case 2:
            return (
                text := json.dumps({rng.choice(("result", "value", "text", "answer")): words.some(1, 4)})
            ), f"The tool says: {text}"
        case _:
            return (text := words.some(1, 7)), f"The tool says: {text}"
