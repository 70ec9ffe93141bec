"""Questions that a tool answers, and answers made from what a tool returned.

The tools are shown as JSON in the system message; the model must pick the one that fits, take its parameter's name
from there and copy the argument from the question.
"""

import json
import random
from dataclasses import dataclass

from .exchanges import Exchange, Message
from .haste import opened
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
            "(should|must) i (take|wear) a (coat|jacket|hat) in {a}",
            "(i fly|i travel|we move|a trip) to {a}, (what about the weather|is it cold|how warm is it)",
            "(forecast|weather forecast|weather report|temperature|the temperature) (for|in|of) {a} [please]",
            "(how many degrees|how much rain|how much snow) (does {a} have|is there in {a}|are there in {a})",
            "(is|does) {a} (sunny|rainy|cold|get snow|get rain|warm) [now|today]",
            "(the sky|the sun|rain|snow|wind|fog) (in|over) {a} [today]",
            "(can you|could you|please) (check|look up|tell me) "
            "(the weather|the temperature|the forecast) (in|of|for) {a}",
            "{a}: (weather|how is the weather|sun or rain)",
            "(my sister|my friend|she|he) (lives|is) in {a}, (is it raining|how warm is it) there",
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
            "(search for|research|browse for|hunt for|query) {a}",
            "(search|browse) (the internet|online|google|pages) for {a}",
            "(i want|i would like|i need) to (search|look up|find|google) {a}",
            "(google|search|find) {a} (for me|please|online|on the internet)",
            "(any|are there any) (pages|results|articles|sites) (about|on|for) {a}",
            "{a}, (search it|look it up|google it|find it)",
            "(start|run|make) a (lookup|query) (on|about|with) {a}",
            "(see|check) what you (can find|find) (about|on) {a}",
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
            "(can you|could you|please) (tell me|check|look up|say) the time in {a}",
            "(what|how late) (is the hour|does the clock say|is it now) in {a}",
            "(the clock|the hour|clock time|time of day|hour) in {a} [please|now]",
            "(i call|i phone|i must call) (a friend in {a}|{a}), what time is it there",
            "(which|what) hour (do they have|is it now|have they) in {a}",
            "{a}, (what time|the time please|what time is it there)",
            "(i want|i need) to know the (time|hour) in {a}",
            "(is|are) (people|the shops) in {a} (awake|asleep|open) (now|at this hour)",
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
            "(number|count) of (people|inhabitants|residents|citizens) (in|of) {a}",
            "(how many|the number of) (citizens|humans|persons|souls) (are there in|live in|does) {a} [have]",
            "(can you|could you|please) (count|tell me|say|look up) (the people|the inhabitants|the residents) in {a}",
            "(is|was) {a} a (big|large|small) (city|town|place) [by people]",
            "{a}, how many (people|inhabitants|citizens)",
            "(i want|i need|i would like) to know the (population|number of people) (of|in) {a}",
            "(how populous|how crowded) is {a}",
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
            "(i need|i want|i would like) {a} translated [to German|to French]",
            "{a} (in|into|to) (German|French) [please]",
            "(translate|put|turn|bring) {a} (into|to) (German|French|another language)",
            "(the|a) (German|French) (word|words|translation) (for|of) {a}",
            "(what is|what's|which is) the (German|French) (word|translation) (for|of) {a}",
            "(can|could|would) you (say|put) {a} in (German|French)",
            "(how|what) (would|do|does) (a German|the French|Germans|people in Paris) (say|call) {a}",
            "{a}, (translate that|translate it|in German please)",
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
            "(count down|wait|measure|time) {a} minutes [please|for me]",
            "(can you|could you|please|will you) (set|start|make) (a|the) timer (for|of) {a} minutes",
            "(alarm|countdown|egg timer|kitchen timer|reminder|alarm clock) (in|for|of) {a} minutes",
            "(ring|beep|wake me up|alert me|warn me) (in|after) {a} minutes",
            "(i want|i would like) to be (called|reminded|woken) in {a} minutes",
            "(my tea|my pizza|the cake|the pasta|my nap) (needs|takes|is ready in) {a} minutes "
            "[set a timer|start the timer]",
            "{a} minutes, (start|go|set it|start the clock|set the timer)",
            "(a|the) (countdown|timer|alarm) [please] {a} minutes",
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
            "(can you|could you|please) (put on|start|turn on) {a} [for me]",
            "(turn on|start|begin|sing|stream) {a}",
            "(i feel like|i am in the mood for|i like) hearing {a}",
            "(the song|a song called|the track|track|the piece|the album) {a} [please]",
            "(listen|listening|dance|dancing) to {a} [please]",
            "(next|now) (play|put on|comes|the song) {a}",
            "{a} (on the speakers|as music|please play it|play that|by the band)",
            "(do you have|is there) (the song|the music|the tune) {a}[, play it]",
            "(we want|let us|i want) to (dance|sing|listen) to {a}",
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
            "(display|view|dump|load|get|output) [me] [the file|the text of] {a}",
            "(what|which) (text|words|lines) (is|are) (in|inside) [the file] {a}",
            "(i have|there is) a file (called|named) {a}[, open it|, read it|, what does it say]",
            "{a}, (what is in it|open it|read it|show it|what does it contain)",
            "(tell me|say) what (is|stands) in [the file] {a}",
            "(contents|content|text|lines|inside) of [the file] {a}",
            "(can i|may i|could i) (see|read|view) [the file] {a}",
            "what does [the file] {a} (contain|hold|include)",
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
    question = rng.choice(tool.held_out) if held_out else _trained(tool, rng)
    question = vary(question.replace("{a}", str(value)), rng, "" if tool.kind == "words" else "?")
    call = {"type": "function", "function": {"name": name, "arguments": {chosen.key: value}}}
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    return Exchange(messages, f"The tool {name} fits, with {value}.", [offered.schema for offered in box]), value


def _trained(tool: Tool, rng: random.Random) -> str:
    """A question to train on, sometimes with words before it or with a word less."""
    words = expand(rng.choice(tool.patterns), rng).split()
    place = rng.randrange(len(words))
    if len(words) > 3 and "{a}" not in words[place] and rng.random() < 0.2:
        del words[place]
    return opened(" ".join(words), rng)


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
