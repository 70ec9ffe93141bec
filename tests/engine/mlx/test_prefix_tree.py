from __future__ import annotations

import random

from webapp.engine.mlx.cache.prefix_tree import Branch, PrefixTree

Tokens = tuple[int, ...]


def shared(one: Tokens, other: Tokens) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def test_it_finds_what_a_comparison_with_every_entry_finds() -> None:
    numbers = random.Random(1)
    tree: PrefixTree[Tokens] = PrefixTree()
    known: set[Tokens] = set()
    for _ in range(5000):
        tokens = tuple(numbers.randrange(3) for _ in range(numbers.randrange(1, 9)))
        if known and numbers.random() < 0.45:
            gone = numbers.choice(sorted(known))
            known.remove(gone)
            tree.remove(gone)
        else:
            known.add(tokens)
            tree.put(tokens, tokens)
        trail = tree.follow(tokens)
        longest = max((shared(entry, tokens) for entry in known), default=0)
        assert trail.known_tokens == longest
        assert trail.passed == sorted((entry for entry in known if tokens[: len(entry)] == entry), key=len)
        assert sorted(trail.beyond()) == sorted(entry for entry in known if entry[:longest] == tokens[:longest])
        assert sorted(tree.values()) == sorted(known)
        check(tree._root)


def check(branch: Branch[Tokens]) -> None:
    """No branch stands for nothing, and each knows where it hangs."""
    for first, below in branch.below.items():
        assert below.tokens[0] == first and below.above is branch
        assert below.value is not None or len(below.below) > 1
        check(below)


def test_a_value_replaces_another_of_the_same_tokens() -> None:
    tree: PrefixTree[str] = PrefixTree()
    tree.put((1, 2), "old")
    tree.put((1, 2), "new")
    assert list(tree.values()) == ["new"]
