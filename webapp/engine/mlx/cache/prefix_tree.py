"""Values under sequences of tokens, found by how much of a prompt they share; each run of tokens is stored once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from webapp.engine.scheduler import common_prefix

V = TypeVar("V")


@dataclass(eq=False, slots=True)
class Branch(Generic[V]):
    """`tokens` lead here from the branch above. Without a value it parts into two at least, or it is the root."""

    tokens: tuple[int, ...] = ()
    above: Branch[V] | None = None
    value: V | None = None
    below: dict[int, Branch[V]] = field(default_factory=dict)

    def values(self) -> Iterator[V]:
        """Its own and all below, the oldest branches first."""
        trails: list[Iterator[Branch[V]]] = [iter((self,))]
        while trails:
            branch = next(trails[-1], None)
            if branch is None:
                trails.pop()
                continue
            if branch.value is not None:
                yield branch.value
            trails.append(iter(branch.below.values()))


@dataclass(frozen=True, slots=True)
class Trail(Generic[V]):
    """How far the tree knows a sequence of tokens.

    `passed` holds the values of its prefixes, shortest first, `end` is the last whole branch. Of `part`, the branch
    behind it, only the first `part_tokens` agree. All values `beyond` begin with the `known_tokens`.
    """

    passed: list[V]
    end: Branch[V]
    known_tokens: int
    part: Branch[V] | None = None
    part_tokens: int = 0

    def beyond(self) -> Iterator[V]:
        return (self.part or self.end).values()


class PrefixTree(Generic[V]):
    def __init__(self) -> None:
        self._root: Branch[V] = Branch()

    def values(self) -> Iterator[V]:
        return self._root.values()

    def follow(self, tokens: tuple[int, ...]) -> Trail[V]:
        branch, known = self._root, 0
        passed: list[V] = []
        while known < len(tokens) and (after := branch.below.get(tokens[known])):
            piece = tokens[known : known + len(after.tokens)]
            if piece != after.tokens:
                agreeing = common_prefix(piece, after.tokens)
                return Trail(passed, branch, known + agreeing, after, agreeing)
            branch, known = after, known + len(piece)
            if branch.value is not None:
                passed.append(branch.value)
        return Trail(passed, branch, known)

    def put(self, tokens: tuple[int, ...], value: V) -> None:
        """Replaces the value of the same tokens."""
        trail = self.follow(tokens)
        branch = trail.end if trail.part is None else _split(trail.end, trail.part, trail.part_tokens)
        if rest := tokens[trail.known_tokens :]:
            branch.below[rest[0]] = branch = Branch(rest, branch)
        branch.value = value

    def remove(self, tokens: tuple[int, ...]) -> None:
        """The tokens must have a value."""
        branch = self.follow(tokens).end
        branch.value = None
        _prune(branch)


def _split(above: Branch[V], branch: Branch[V], tokens: int) -> Branch[V]:
    """A new branch of the first `tokens` of one, which now begins behind it."""
    middle = Branch(branch.tokens[:tokens], above)
    above.below[middle.tokens[0]] = middle
    branch.tokens, branch.above = branch.tokens[tokens:], middle
    middle.below[branch.tokens[0]] = branch
    return middle


def _prune(branch: Branch[V]) -> None:
    """Take out a branch that has no value and does not part any more."""
    above = branch.above
    if above is None or branch.value is not None or len(branch.below) > 1:
        return
    if not branch.below:
        del above.below[branch.tokens[0]]
        _prune(above)
        return
    [only] = branch.below.values()
    only.tokens, only.above = branch.tokens + only.tokens, above
    above.below[only.tokens[0]] = only
