"""The text with which a call begins, found in an answer however it is cut into tokens."""

from __future__ import annotations

from llguidance import LLTokenizer

from webapp.engine.mlx.grammar.bitmask import Words, allow, nothing


class Marker:
    """Finds the marker's text. Thread-safe: the caller holds the `tail`, the last bytes of its answer."""

    def __init__(self, text: str, tokens: LLTokenizer):
        self._text = text.encode()
        self._tokens = tokens
        self._overshooting = self._found_overshooting()

    def follow(self, tail: bytes, token: int) -> tuple[bytes, bool]:
        """The tail after this token, and whether the marker ends with it."""
        tail += self._tokens.decode_bytes([token])
        return tail[-len(self._text) :], tail.endswith(self._text)

    def forbid(self, tail: bytes, words: Words) -> None:
        """Clear the bit of each token that would run past the marker's end: the text after it would go unchecked."""
        for length, tokens in self._overshooting.items():
            if tail.endswith(self._text[:length]):
                known = min(len(words), len(tokens))
                words[:known] &= ~tokens[:known]

    def _found_overshooting(self) -> dict[int, Words]:
        """The tokens that run past the marker's end, by the number of its bytes already written."""
        found: dict[int, Words] = {}
        rests = [(length, self._text[length:]) for length in range(len(self._text))]
        for token in range(self._tokens.vocab_size):
            spelled = bytes(self._tokens.decode_bytes([token]))
            for length, rest in rests:
                if spelled.startswith(rest) and len(spelled) > len(rest):
                    allow(found.setdefault(length, nothing(self._tokens.vocab_size)), token)
        return found
