"""The one kind of field: what each type takes, and the loop that parses all or says all that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from webapp.errors import InvalidFields
from webapp.settings.field import Field, parse_all


def refuse_bad(value: Any) -> None:
    if value == "bad" or value == {"bad": 1}:
        raise ValueError("must not be bad")


def made(type: Any, **more: Any) -> Field:
    return Field("Label", "Help.", type, **more)


WORD = made("text", longest=4, pattern="[a-z]+", wanted="must be a word", check=refuse_bad)
PROSE = made("prose", longest=6, wanted="must be short")
SWITCH = made("switch")
LIST = made("names", longest=2, unit="words", check=refuse_bad)
OBJECT = made("object", longest=1, check=refuse_bad)
TEXTS = made("texts", unit="words", check=refuse_bad)
MOMENT = made("moment", read=lambda raw: ("moment", raw))


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        (WORD, " abcd ", "abcd"),
        (PROSE, " a\n ", " a\n "),
        (SWITCH, False, False),
        (LIST, ["b ", "a"], ("b", "a")),
        (LIST, ["a", " a"], ("a",)),
        (LIST, [], ()),
        (OBJECT, {"a": [1]}, {"a": [1]}),
        (TEXTS, "a, b\n,a", ("a", "b")),
        (MOMENT, 5, ("moment", 5)),
    ],
)
def test_what_it_takes_becomes_typed(field: Field, raw: object, value: object) -> None:
    assert field.parse(raw) == value


@pytest.mark.parametrize(
    ("field", "raw", "message"),
    [
        (WORD, "abcde", "must be a word"),
        (WORD, "a1", "must be a word"),
        (WORD, 5, "must be a word"),
        (WORD, "bad", "must not be bad"),
        (PROSE, "1234567", "must be short"),
        (SWITCH, 1, "must be true or false"),
        (SWITCH, "true", "must be true or false"),
        (LIST, "a", "must be a list of at most 2 words"),
        (LIST, ["a", "b", "c"], "must be a list of at most 2 words"),
        (LIST, ["a", 1], "must hold words"),
        (LIST, [[]], "must hold words"),
        (LIST, [" "], "must hold words"),
        (LIST, ["a", "bad"], "must not be bad"),
        (OBJECT, [1], "must be an object of at most 1 names and values"),
        (OBJECT, {"a": 1, "b": 2}, "must be an object of at most 1 names and values"),
        (OBJECT, {"bad": 1}, "must not be bad"),
        (TEXTS, "a,bad", "must not be bad"),
        (TEXTS, 5, "must be a list of words"),
    ],
)
def test_what_does_not_fit_is_told_what_is_wanted(field: Field, raw: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        field.parse(raw)


TABLE = {"word": made("text", required="is missing"), "count": made("integer", minimum=1, maximum=9), "list": LIST}


def test_all_is_parsed_and_blank_is_none() -> None:
    parsed = parse_all(TABLE, {"word": "a", "count": " "})
    assert parsed.checked() == {"word": "a", "count": None}
    assert parsed.given == {"word": "a"}


def test_every_error_is_said_with_the_words_of_the_table() -> None:
    raw = {"strange": 1, "word": "", "count": 0, "list": ""}
    parsed = parse_all(TABLE, raw, "No '{name}' here.", spoken="'{}'".format)
    with pytest.raises(InvalidFields) as refusal:
        parsed.checked({"other": "Not that either."})
    assert refusal.value.errors == {
        "strange": "No 'strange' here.",
        "count": "'count' must be a whole number from 1 to 9.",
        "list": "'list' must be a list of at most 2 words.",
        "word": "'word' is missing.",
        "other": "Not that either.",
    }
    assert parse_all(TABLE, {}).errors == {"word": "Label is missing."}


def test_a_name_with_braces_is_only_a_name() -> None:
    assert parse_all({}, {"{name.real}": 1}, "No '{name}'.").errors == {"{name.real}": "No '{name.real}'."}


@pytest.mark.parametrize("field", [WORD, PROSE, SWITCH, LIST, OBJECT, TEXTS, *TABLE.values()])
@pytest.mark.parametrize("raw", ["abcd", "abcdefgh", "a1", True, ["a"], ["a"] * 3, {"a": 1}, {"a": 1, "b": 2}, 5, 50])
def test_the_schema_says_what_is_parsed(field: Field, raw: object) -> None:
    try:
        field.parse(raw)
        fits = True
    except ValueError:
        fits = False
    assert Draft202012Validator(field.schema()).is_valid(raw) == fits
    assert field.schema()["description"] == "Label. Help."
