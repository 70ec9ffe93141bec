"""How people tell their name and ask for it later. Knows nothing of conversations."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remembered:
    """Something a person says about themselves, and asks for later."""

    told: tuple[str, ...]
    told_held_out: tuple[str, ...]
    reply: str
    asked: tuple[str, ...]
    asked_held_out: tuple[str, ...]
    answer: str
    missing: str


NAME = Remembered(
    (
        "my name is {x}",
        "i am {x}",
        "i'm {x}",
        "call me {x}",
        "you (can|may) call me {x}",
        "i am called {x}",
        "my name's {x}",
        "{x} is my name",
        "this is {x}",
        "(it is|it's) {x} here",
        "{x} here",
        "they call me {x}",
        "my (friends call|mother calls) me {x}",
        "my (first|full|real) name is {x}",
        "(remember|note|keep in mind), (i am|my name is) {x}",
        "(you are speaking with|you talk to|meet) {x}",
        "{x}, (that is me|that is my name|nice to meet you)",
        "(everybody|everyone|my mother) (calls|named) me {x}",
        "i was (named|given the name|born as) {x}",
        "(hey|hello|good day), it's {x}",
        "{x} speaking",
        "greetings from {x}",
        "(please|you may|feel free to) address me as {x}",
        "i am known as {x}",
        "my (parents|family|teacher|colleagues) (named|call|calls) me {x}",
        "(i introduce myself|let me introduce myself|may i introduce myself), (i am|my name is) {x}",
        "(write down|save|store|learn) my name, (it is|it's) {x}",
        "(as for me, i am|me, i am|and i am|well, i'm) {x}",
        "{x}, (pleased to meet you|at your service|that is how i am called)",
        "i (sign|answer|listen) (as|to) {x}",
        "(i am|i'm) {x} (from Hearth|from work|and i am new here|, nice to meet you|, by the way)",
    ),
    ("people call me {x}", "the name is {x}", "I go by the name of {x}"),
    "Nice to meet you, {x}.",
    (
        "(what is|what's|what was) my name [again]",
        "(do you remember|do you know|tell me|say) my name",
        "(do you remember|do you know|tell me|say) (who i am|what i am called)",
        "who am i [again]",
        "(what|how) am i called",
        "(can you remember|which is|can you say|have you forgotten|did you forget) my name",
        "and my name",
        "my name please",
        "what did i say my name (is|was)",
        "how do (people|my friends|you) call me",
        "i forgot my name",
        "(say|repeat|tell me|write|say me) (my name|the name i told you|who i am) [again|please|once more]",
        "(which|what) name (do i have|did i say|is mine|was it|have i)",
        "(do you|can you) [still] (recall|remember|say|repeat) (my name|what i am called|who i am)",
        "(repeat|say|tell me|write) the name (i told you|i said|i have|of mine) [again|please|once more]",
        "(what|which) was the name i (told|gave) you",
        "[please] (give|tell) me my name [again|back]",
        "(by|under|with) (what|which) name do you (know|remember) me",
        "(how|what) (should|would|will|must) you call me",
        "who did i say i (was|am)",
        "(as what|how) did i introduce myself",
        "(name|greet) me [by my name]",
        "what am i (named|called) [again]",
        "(quiz|a test|question): (what is my name|who am i|what am i called)",
        "(guess|remember) (who i am|my name)",
        "(i told|i said to) you my name [earlier|before], (what is it|say it|which is it)",
        "(is|was) my name (known to you|something you remember)",
        "(have you|did you) (kept|keep|noted|note|learnt|learn|saved|save) my name",
        "(call|address) me by my name",
        "(spell|write down|show) my name",
        "(what|which) name (did you note|did you hear|did you learn|belongs to me|is the one i told)",
    ),
    ("do you still know what my name is", "what name did I tell you", "please repeat the name I gave you"),
    "Your name is {x}.",
    "You have not told me your name yet.",
)
