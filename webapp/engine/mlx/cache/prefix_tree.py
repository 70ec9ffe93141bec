"""A radix tree of values under token sequences, searched by common prefix; shared runs are stored once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from webapp.engine.scheduler import common_prefix

V = TypeVar("V")


@dataclass(eq=False, slots=True)
class Branch(Generic[V]):
    """`tokens` lead here from the branch above. One without a value has two branches below, or is the root."""

    tokens: tuple[int, ...] = ()
    above: Branch[V] | None = None
    value: V | None = None
    below: dict[int, Branch[V]] = field(default_factory=dict)

    def values(self) -> Iterator[V]:
        """The branch's own value and all below it, the oldest branches first."""
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
    """The path that a sequence of tokens takes through the tree, and where it leaves it.

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
        """Store a value under tokens, replacing the one already there."""
        trail = self.follow(tokens)
        branch = trail.end if trail.part is None else _split(trail.end, trail.part, trail.part_tokens)
        if rest := tokens[trail.known_tokens :]:
            branch.below[rest[0]] = branch = Branch(rest, branch)
        branch.value = value

    def remove(self, tokens: tuple[int, ...]) -> None:
        """Remove the value of these tokens, which must exist."""
        branch = self.follow(tokens).end
        branch.value = None
        _prune(branch)


def _split(above: Branch[V], branch: Branch[V], tokens: int) -> Branch[V]:
    """Insert a branch for the first `tokens` of `branch`, which now begins below it; returns the new one."""
    middle = Branch(branch.tokens[:tokens], above)
    above.below[middle.tokens[0]] = middle
    branch.tokens, branch.above = branch.tokens[tokens:], middle
    middle.below[branch.tokens[0]] = branch
    return middle


def _prune(branch: Branch[V]) -> None:
    """Remove a branch that has no value and fewer than two branches below."""
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
