"""Generated values are texts as Postgres prints them, and fresh ones never come twice."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.generate.makers import maker
from harness.generate.values import PLACEHOLDER, array_text, interval_text, jsonb_text, timestamp_text
from harness.model.errors import BadInput
from harness.model.filler import expand_filler
from harness.model.operations import Filler
from harness.model.schema import ByColumn, Column, Schema, ScriptHints, Table

TYPES = {
    "text": r"\S.* \d+",
    "character varying(20)": r".{1,20}",
    "character(12)": r".{12}",
    "integer": r"\d+",
    "bigint": r"\d+",
    "numeric": r"\d+\.\d{3}",
    "numeric(14,2)": r"\d+\.\d{2}",
    "numeric(20,8)": r"\d+\.\d{8}",
    "double precision": r"\d+\.25",
    "date": r"\d{4}-\d\d-\d\d",
    "time without time zone": r"\d\d:\d\d:\d\d(\.\d*[1-9])?",
    "timestamp without time zone": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])?",
    "timestamp with time zone": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])?\+00",
    "interval": r"(\d+ days? ?)?(\d\d:\d\d:\d\d(\.\d*[1-9])?)?",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "inet": r"10(\.\d+){3}",
    "cidr": r"10(\.\d+){3}/32",
    "macaddr": r"[0-9a-f]{2}(:[0-9a-f]{2}){5}",
    "bytea": r"\\x([0-9a-f]{2})*",
    "jsonb": r"\{.*\}",
    "text[]": r"\{.*\}",
    "integer[]": r"\{-?\d+(,(NULL|-?\d+))*\}",
    "int4range": r"\[\d+,\d*\)",
    "daterange": r"\[\d{4}-\d\d-\d\d,(\d{4}-\d\d-\d\d)?\)",
    "tstzrange": r'\["[^"]+","?[^"]*"?\)',
    "bit(24)": r"[01]{24}",
}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_fresh_values_have_the_form_of_their_type(name: str) -> None:
    """Three hundred values of each type look as Postgres prints them, and all differ."""
    made = maker(_schema(name), _schema(name).tables[0], Column(name="it", type=name))
    values = [made.fresh(Random(n), n) for n in range(1, 300)]
    assert made.wide
    assert all(re.fullmatch(TYPES[name], value, re.DOTALL) for value in values)
    assert len(set(values)) == len(values)


def test_what_breaks_backups_is_among_the_special_values() -> None:
    """Empty beside NULL, NaN, infinity, years BC, and the capture system's own placeholder (FM-38)."""
    expected = {
        "text": ("", PLACEHOLDER, "\\N"),
        "numeric": ("NaN",),
        "timestamp with time zone": ("infinity", "-infinity"),
        "date": ("0044-03-15 BC",),
        "bytea": ("\\x",),
        "text[]": ("{}", "{NULL}"),
        "int4range": ("empty",),
    }
    for name, values in expected.items():
        made = maker(_schema(name), _schema(name).tables[0], Column(name="it", type=name))
        assert set(values) <= set(made.special)


def test_enums_give_their_labels_and_domains_no_empty_text() -> None:
    """Labels come from the schema; a domain's CHECK holds for all but the empty text."""
    schema = _schema("mood", enums={"mood": ("good", "bad")}, domains={"email": "text"})
    mood = maker(schema, schema.tables[0], Column(name="it", type="mood"))
    assert {mood.fresh(Random(n), n) for n in range(20)} == {"good", "bad"}
    assert not mood.wide
    assert "" not in maker(schema, schema.tables[0], Column(name="it", type="email")).special


def test_an_unknown_type_is_refused_with_a_cure() -> None:
    """A type of which no values are known names its column."""
    with pytest.raises(BadInput, match=r"t\.it has type hstore"):
        maker(_schema("hstore"), _schema("hstore").tables[0], Column(name="it", type="hstore"))


@given(st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.text(max_size=5), max_size=5))
def test_jsonb_sorts_keys_by_length_then_bytes(value: dict[str, object]) -> None:
    """jsonb texts parse back, with keys in the order in which Postgres stores them."""
    text = jsonb_text(value)
    keys = list(json.loads(text))
    assert json.loads(text) == value
    assert keys == sorted(keys, key=lambda key: (len(key.encode()), key.encode()))


def test_arrays_quote_only_what_they_must() -> None:
    """NULL is bare, the word in quotes; so are empty texts, blanks, commas, braces and backslashes."""
    elements = ["plain", None, "NULL", "", "a b", "a,b", "{x}", 'q"', "b\\", "Zoë"]
    assert array_text(elements) == '{plain,NULL,"NULL","","a b","a,b","{x}","q\\"","b\\\\",Zoë}'


def test_times_lose_their_trailing_zeros() -> None:
    """Fractions are printed only as far as they go; one day is singular; no time no clock."""
    moment = datetime(2022, 4, 5, 7, 38, 1, 250_000, tzinfo=UTC)
    assert timestamp_text(moment.replace(tzinfo=None), "+00") == "2022-04-05 07:38:01.25+00"
    assert timestamp_text(datetime.combine(date(2022, 4, 5), datetime.min.time())) == "2022-04-05 00:00:00"
    assert interval_text(0, 7) == "00:00:00.000007"
    assert interval_text(1, 0) == "1 day"
    assert interval_text(30, 3_600_000_000) == "30 days 01:00:00"


@given(st.integers(0, 2**31), st.integers(0, 5000))
def test_fillers_have_their_length(seed: int, chars: int) -> None:
    """Each form has the length it was asked for, and is the same each time."""
    text = expand_filler(Filler(seed=seed, chars=chars))
    assert len(text) == chars
    assert text == expand_filler(Filler(seed=seed, chars=chars))
    assert len(expand_filler(Filler(seed=seed, chars=chars, form="bytea"))) == 2 + chars + chars % 2
    assert len(json.loads(expand_filler(Filler(seed=seed, chars=chars, form="json")))["filler"]) == chars


def test_fillers_keep_their_prefix() -> None:
    """The prefix counts, and is never cut."""
    assert expand_filler(Filler(seed=1, chars=10, prefix="abc")).startswith("abc")
    assert len(expand_filler(Filler(seed=1, chars=10, prefix="abc"))) == 10
    assert expand_filler(Filler(seed=1, chars=2, prefix="abc")) == "abc"


def _schema(
    name: str, enums: dict[str, tuple[str, ...]] | None = None, domains: dict[str, str] | None = None
) -> Schema:
    table = Table(
        name="t", tenancy=ByColumn(column="it"), key=("it",), columns=(Column(name="it", type=name),)
    )
    return Schema(
        name="s", tables=(table,), script=ScriptHints(root="t"), enums=enums or {}, domains=domains or {}
    )
