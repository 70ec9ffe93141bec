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
    """A kind of tool under its many names; `{a}` in the questions stands for its argument."""

    names: tuple[str, ...]
    parameters: tuple[str, ...]
    kind: str
    descriptions: tuple[str, ...]
    patterns: tuple[str, ...]
    held_out: tuple[str, ...]


TOOLS = (
    Tool(
        ("get_weather", "weather", "current_weather", "fetch_weather", "get_current_weather"),
        ("city", "location", "place", "town"),
        "place",
        (
            "Get the weather in a city",
            "The current weather",
            "Get the current weather for a location",
            "Weather report",
        ),
        (
            "(what is|how is|tell me) the weather [like] in {a} [today|now]",
            "what's the weather [like] in {a} [today|now]",
            "(will it|does it|is it going to) (rain|snow) in {a} [today|tomorrow]",
            "is it (cold|warm|sunny|raining|windy|hot) in {a} [today|now]",
            "weather (in|for|of) {a} [please]",
            "how (cold|warm|hot|windy) is it in {a} [today|now]",
            "(check|get|look up|show me|i need|i want|give me) the weather (in|for|of) {a}",
            "{a} weather [please]",
            "what about the weather in {a}",
            "i (live|am|will be|stay) in {a}, (what is|how is) the weather [here]",
            "in {a}, is it (cold|warm|raining)",
            "does {a} have (sun|rain|snow|wind) [today|now]",
            "we drive to {a}, (will it rain|is it warm)",
        ),
        (
            "what weather does {a} have",
            "I am going to {a}, how is the weather there",
            "do I need an umbrella in {a}, what is the weather",
        ),
    ),
    Tool(
        ("search", "web_search", "search_web", "find", "lookup"),
        ("query", "q", "text", "term"),
        "words",
        ("Search the web", "Look something up", "Full text search", "Find pages"),
        (
            "search [the web] for {a}",
            "(look up|find|google|search|look for) {a}",
            "find (something|pages|news|texts) about {a}",
            "(can you|please|could you|will you) (search for|look up|find) {a}",
            "what does the (web|internet) say about {a}",
            "i (need|want) (pages|something|news) about {a}",
            "(show me|get me) (pages|results|news) (about|for) {a}",
            "what is there about {a}",
            "web search: {a}",
        ),
        ("do a search for {a}", "look on the web for {a}"),
    ),
    Tool(
        ("get_time", "current_time", "time_in", "clock"),
        ("city", "zone", "timezone", "place"),
        "place",
        ("The time in a city", "Get the current time", "Local time of a place"),
        (
            "what time is it in {a} [now]",
            "(what is|tell me|what's|i need|give me) the time in {a} [now]",
            "(time|local time|current time) in {a} [please]",
            "how late is it in {a} [now]",
            "what is the (local|current) time (in|of) {a}",
            "(check|get|look up|show me) the time (in|for) {a}",
            "{a} time [please]",
            "in {a}, what time is it",
            "is it (late|early|morning|night) in {a} [now]",
        ),
        ("do you know what time it is in {a}", "which time is it in {a}"),
    ),
    Tool(
        ("get_population", "population", "count_people"),
        ("city", "place", "country"),
        "place",
        ("How many people live there", "Population of a place"),
        (
            "how many people (live|are) in {a} [now]",
            "(what is|what's|give me|i need) the population of {a}",
            "(how big|how large) is {a}",
            "population (of|in) {a} [please]",
            "how many (people|inhabitants|residents) does {a} have",
            "{a} population [please]",
            "count the people (in|of) {a}",
            "in {a}, how many people are there",
            "do (many|a lot of) people live in {a}",
        ),
        ("tell me how many people live in {a}", "look up the population of {a}"),
    ),
    Tool(
        ("translate", "translate_text", "translator"),
        ("text", "words", "phrase"),
        "words",
        ("Translate a text", "Translate words to German"),
        (
            "translate {a}",
            "(please|can you|could you|i want to|will you) translate {a}",
            "what is {a} in (German|French)",
            "how (do you|do i|does one) say {a} in (French|German)",
            "translate (this|the words|the text): {a}",
            "what does {a} mean in (German|French)",
            "i want to say {a} in (German|French)",
            "(translation|a translation): {a}",
            "say {a} in (German|French)",
        ),
        ("give me a translation of {a}", "I need you to translate {a}"),
    ),
    Tool(
        ("set_timer", "start_timer", "timer"),
        ("minutes", "duration", "time"),
        "number",
        ("Start a timer", "Set a timer in minutes"),
        (
            "set a timer for {a} minutes",
            "(start|make|set) a timer (of|with|to) {a} minutes",
            "(timer|a timer|timer of) {a} minutes [please]",
            "wake me in {a} minutes",
            "(tell me|remind me|call me) (when|after|in) {a} minutes [are over]",
            "{a} minutes (timer|please|from now)",
            "(i want|can i have|give me) a timer (of|with) {a} minutes",
            "(the timer|a timer|the clock) (should run|must run|runs) {a} minutes",
        ),
        ("I need a timer for {a} minutes", "set the timer to {a} minutes"),
    ),
    Tool(
        ("play_music", "play", "play_song"),
        ("title", "song", "name"),
        "words",
        ("Play a song", "Play music by title"),
        (
            "play {a}",
            "(play|start|put on) the (song|music|title) {a}",
            "i (want|would like) to hear {a}",
            "put on {a}",
            "(please|could you|will you|let us) (play|hear|put on) {a}",
            "let us listen to {a}",
            "i (want|need) the song {a}",
            "(music|song): {a}",
        ),
        ("can you play {a}", "let me hear the song {a}"),
    ),
    Tool(
        ("read_file", "open_file", "cat"),
        ("path", "file", "filename"),
        "file",
        ("Read a file", "Open a text file"),
        (
            "(open|read|show) [me] [the file] {a}",
            "(what is|what's|what stands) in [the file] {a}",
            "what does [the file] {a} say",
            "(i want|i need|i would like) to (read|see|open) [the file] {a}",
            "(please|could you|can you) (open|read|show) [me] {a}",
            "{a} please",
            "the (text|content) of {a} [please]",
            "(give|read) me the (text|content) of {a}",
            "look into [the file] {a}",
        ),
        ("print the file {a}", "let me see {a}"),
    ),
)


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as one conversation shows it: its JSON, and the name its parameter has there."""

    tool: Tool
    schema: Message
    key: str


def toolbox(rng: random.Random) -> list[Offered]:
    """One or two tools to have at hand."""
    return [Offered(tool, *_shown(tool, rng)) for tool in rng.sample(TOOLS, rng.choice((1, 1, 1, 1, 2, 2)))]


def tool_call(rng: random.Random, box: list[Offered], held_out: bool = False) -> Exchange:
    """A question that one of the tools at hand answers."""
    exchange, _ = _call(rng, box, held_out)
    return exchange


def tool_result(rng: random.Random, box: list[Offered], held_out: bool = False) -> Exchange:
    """The same, and then what the tool returned and the answer from it."""
    called, value = _call(rng, box, held_out)
    returned, answer = _returned(Words(rng, held_out), str(value))
    messages = [*called.messages, {"role": "tool", "content": returned}, {"role": "assistant", "content": answer}]
    return Exchange(messages, "The tool has answered. I pass that on.", called.tools)


def _call(rng: random.Random, box: list[Offered], held_out: bool) -> tuple[Exchange, str | int]:
    chosen = rng.choice(box)
    tool, name = chosen.tool, chosen.schema["function"]["name"]
    value = _argument(tool.kind, Words(rng, held_out))
    question = expand(rng.choice(tool.held_out if held_out else tool.patterns), rng)
    question = vary(question.replace("{a}", str(value)), rng, "" if tool.kind == "words" else "?")
    call = {"type": "function", "function": {"name": name, "arguments": {chosen.key: value}}}
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    return Exchange(messages, f"The tool {name} fits, with {value}.", [offered.schema for offered in box]), value


def _shown(tool: Tool, rng: random.Random) -> tuple[Message, str]:
    key = rng.choice(tool.parameters)
    shape = {"type": "integer" if tool.kind == "number" else "string"}
    if rng.random() < 0.3:
        shape["description"] = f"The {key}"
    parameters = {"type": "object", "properties": {key: shape}, "required": [key]}
    function: Message = {"name": rng.choice(tool.names), "description": rng.choice(tool.descriptions)}
    return {"type": "function", "function": {**function, "parameters": parameters}}, key


def _argument(kind: str, words: Words) -> str | int:
    match kind:
        case "place":
            return words.place()
        case "number":
            return words.number(1, 120)
        case "file":
            return words.made_up().lower() + words.rng.choice((".txt", ".md", ".py", ".json", ".csv"))
        case _:
            return words.some(1, 3)


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
                text := json.dumps({rng.choice(("result", "value", "text", "answer")): words.some(1, 3)})
            ), f"The tool says: {text}"
        case _:
            return (text := words.some(1, 5)), f"The tool says: {text}"
