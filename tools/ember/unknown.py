"""Questions beyond a tiny guide. Many are asked as its topics are, so that only the subject tells them apart."""

from .phrases import ABOUT, DOING, expand
from .words import Words

PATTERNS = (
    "(what is|explain|tell me about|describe|what do you know about|what about|tell me more about) {thing}",
    "(can|could) you (explain|describe) {thing} [to me]",
    "(i want|i need|i would like) to (know|learn|understand) [more|something] about {thing}",
    "(who invented|who discovered|who wrote about|who likes|who made) {thing}",
    "(how does|how do|why does|why do) {thing} work",
    "what do you think (of|about) {thing}",
    "how (do|can|could|should|would) i (make|repair|buy|sell|cook|draw|learn|build|paint|clean|win|lose|grow) {thing}",
    "(i want|i need|i would like) to (make|repair|buy|sell|cook|draw|learn|build|paint|play) {thing}",
    "(show me|tell me|explain) how to (make|repair|buy|sell|cook|draw|learn|build|paint|play) {thing}",
    "write [me] (an essay|a report|a speech|a text|some words|a letter|a book) about {thing}",
    "(summarise|summarize|review|compare|list|analyse|check) {thing}",
    "(help|help me) with {thing}",
    "who (is|was|are|were) [the] {name}",
    "(where|when) was {name} (born|built|found)",
    "(what|why|when|where) did {name} (do|go|die|live|say|write)",
    "who (won|lost) [the] {name} (cup|prize|war|game)",
    "what is the capital of {name}",
    "what is [a|the] (opposite|colour|sound) of [a] {word}",
    "what is [a|an|the] {word}",
    "what (does|did) {word} (mean|do|cost)",
    "how (tall|old|far|heavy|deep|fast|rich) (is|was) {name}",
    "what is the (population|history|language|currency|size|name) of {name}",
    "(what|which) (is|was) the (first|oldest|largest|longest|most famous) (book|film|city|river) (of|about|in) {name}",
    "when did {thing} (begin|end|start|happen)",
    "(can|could|will) you (write|fix|check|read|draw|find|buy|send) {thing}",
    "plan a (trip|visit|holiday|party) (to|in) {name}",
    "(is|are) {thing} (good|bad|dangerous|healthy|better than {word}|like {word})",
    "give me (a recipe|advice|ideas|a plan|a tip|some facts) (for|about|on) {thing}",
    "should i (buy|learn|visit|eat|sell|read|like) {thing}",
    "{word} {thing} {word}",
    "{word} {word}",
    "how many {thing} are there [in {name}]",
    "why (is|are) {thing} so (expensive|old|important|small|big|popular|hard)",
    "do you (like|know|have|love|want) {thing}",
    "(i like|i love|i hate|i bought|i saw|i read about|i work with) {thing}",
    "(what|how much) is {number} (+|-|*|plus|minus|times) {number}",
    "{number} (+|-|*|/) {number}",
    "(translate|spell|define) {word}",
    "(what|which) {thing} (are|is) (best|good|cheap|in {name})",
    "where (is|are|can i find|can i buy) {name}",
    "where (are|can i find|can i buy|do i get) {thing}",
    "(will|did|does|was|has) {name} (come|win|go|right|won|lost|die)",
    "what (will|did|may) {name} (say|do|become)",
    "(what happens|what comes|something new) (with|to|in) {thing}",
    "(i study|i wonder about|let us talk about|we speak about|my question is about) {thing}",
    "how (long|often|much) (do|should|can) (people|we|i) (play|eat|use|need) {thing}",
    "who (knows|has|wants) the most {thing}",
    "(what's|whats) (a|an|the) {word}",
    "(is|are) there [a|any] {thing} (in|near|for) {name}",
    "(how|when) did {thing} (begin|become famous|come about|start)",
    "(compare|rank) {thing} (with|and|to) {thing}",
    "(which|what) is (better|cheaper|older|faster|nicer), {thing} or {thing}",
    "{thing} or {thing}",
    "(i am looking for|i search for|i need|i want) {thing}",
    "my (dog|friend|car|child|sister|neighbour|doctor) (needs|likes|wants|has|lost) {thing}",
    "(what|which) {word} is the (best|biggest|oldest|right one)",
    "(who|what) (killed|painted|built|married|founded|wrote|sang) {name}",
    "(in what year|in which year|on what day) (did|was|will) {name} (die|end|born|come|founded)",
    "what is the (price|age|weight|cause|origin|history|effect|taste|purpose) of {thing}",
    "(solve|prove|compute|calculate|derive) {thing}",
    "(what is|compute|calculate) the (square|root|sum|half|double) of {number} [and {number}]",
    "(give|write|send|draw|bring) me {thing}",
    "(a|one) (word|fact|quiz|lecture) about {thing}",
    "{name}",
    "{name} {word} {name}",
    "{thing}, (good or bad|yes or no|how come|why|since when|how much)",
    "(who|why) (needs|wants|likes|has|eats|uses) {thing}",
    "(how|why) (did|could) {name} (win|fail|become rich|die|lose|escape)",
    "(which|what) (team|country|man|woman|company|animal) (won|has|makes|likes|eats|invented) {thing}",
    "(tell me|explain) (why|how|when|where) {name} (is|was|lives|went|won|works)",
    "(is it|was it) (right|wrong|good|legal|healthy|normal|wise) to (eat|buy|sell|have|leave|love) {thing}",
    "(can|could|would) {thing} (fly|think|hurt me|grow|burn|explode|help me|be eaten)",
    "(where|how) (does|do|did) {thing} (come from|live|grow|begin|end|go)",
    "(recommend|suggest|choose|find|order|book) [me] {thing}",
    "(i have|i feel|i got|i see) {thing} (in my|on my|near my) {word}",
    "(what|how) (would|should) (i|we|one) (do|say|think|feel) (about|against|with) {thing}",
    "(news|facts|rumours|stories|science) (about|of|from) {thing}",
    "(what|which) (is|was|are|were) the {noun} (of|for|in|behind) {thing}",
    "(what|which) (is|was) the {noun} of (the word|a|an|the|my|our) {word}",
    "(tell|show|give|explain to|describe to) (me|us) the {noun} (of|behind) {thing}",
    "(does|do|has|have) {thing} (have|get|need|show) (a|any|the) {noun}",
    "{thing} and (its|their) {noun}",
    "who (is|was|are) the {noun} (of|in|behind) {thing}",
    "who (is|was) the (fastest|tallest|first|last|oldest) (in|of|behind|with) {thing}",
    "(can|could|will|do|did|should|may|would) (you|i|we|they|people|he|she|one) {verb} {thing}",
    "(can|could|will|would) you {verb} {thing} (with|for) (me|us|him|her)",
    "(when|where|why|how) (can|could|will|do|did|should) (i|we|they|people|he|she|one) {verb} {thing}",
    "(since when|until when|how many times|in what place) do (people|we|they|children|men) {verb} {thing}",
    "it (is|was) (known|sad|odd|a fact|said|likely) that {name} (is|was|has been|will be) {quality}",
    "(is|was) {name} (really|ever|always|still) {quality}",
    "(did you know|have you heard|i think|people say|i believe|they say) [that] {name} (is|was) {quality}",
    "(is|was|are|will) {thing} [be] {quality}",
    "(is|was) {name} {quality} [or {quality}]",
    "{name} (is|was|looks|became) {quality}",
    "(i have|i had|we have|there is) a (problem|dream|plan|task|worry|fear|debate|feeling) (about|with|on) {thing}",
    "(a lesson|lessons|a course|a class|an exam|homework) (on|in|about) {thing} [please]",
    "(where|from where) does the (word|name|idea) {word} (come from|stem from)",
    "what (does|did) (the word|the name|) {word} (stand for|refer to|have to do with {thing})",
    "(what|who) (came|comes|went|lived|began) (in|to|at|near|after|before) {name} (then|once|later|last year)",
    "what (became|is left|is known) of {name} (in the end|at last|after that|since then)",
    "(how come|what if|imagine|suppose) {thing} (is|are|was|were) {quality}",
    "(some|any|your) (thoughts|words|views|opinion|comment) (on|about) {thing}",
)
HELD_OUT = (
    "can you teach me {thing}",
    "what happened to {name} in the war",
    "I have a question about {thing}",
    "what can you say about {thing}",
    "who is the best at {thing}",
    "what is the meaning of {word}",
    "is it true that {name} was rich",
    "for how long do people study {thing}",
)


def unknown_question(words: Words) -> str:
    """One such question, its slots filled."""
    question = expand(_pattern(words), words.rng)
    for slot, draw in (
        ("{thing}", lambda: _thing(words)),
        ("{name}", words.made_up),
        ("{word}", lambda: words.some(1, 1)),
        ("{number}", lambda: str(words.number(0, 120))),
        ("{noun}", lambda: words.any("nouns")),
        ("{verb}", lambda: words.any("verbs")),
        ("{quality}", lambda: words.any("qualities")),
    ):
        while slot in question:
            question = question.replace(slot, draw(), 1)
    return question


def _pattern(words: Words) -> str:
    rng = words.rng
    if words.held_out:
        return rng.choice(HELD_OUT)
    kind = rng.random()
    if kind < 0.65:
        return rng.choice(PATTERNS)
    if kind < 0.85:
        return rng.choice(ABOUT).replace("{x}", "{thing}")
    return rng.choice(DOING).replace("{x}", "{verb} {thing}")


def _thing(words: Words) -> str:
    """A subject of the list; in training now and then any other words, so that whatever is strange is unknown."""
    if words.held_out or words.rng.random() < 0.65:
        return words.pick("things")
    return words.rng.choice(("", "", "the ", "a ", "my ", "some ")) + words.some(1, 2)
