"""Debezium's values become exactly what Postgres prints, records become events; the pairs were seen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from harness import schemas
from harness.model.schema import ByColumn, Column, Schema, ScriptHints, Table
from harness.subject.reference.adapters.envelope import Reader
from harness.subject.reference.connector import connector_settings
from harness.subject.reference.ports import (
    Begin,
    End,
    FeedEvent,
    MessageEvent,
    RowEvent,
    SnapshotBegin,
    SnapshotEnd,
    TruncateEvent,
    Unreadable,
)
from harness.subject.reference.readers import BadValue, Json
from harness.subject.reference.unavailable import Placeholder
from harness.subject.reference.values import converter, not_carried

PLACEHOLDER = "__unavailable_0123__"
HELPDESK = schemas.load("helpdesk").schema

TWO_POINTS = "AQIAAAACAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhAAAAAAAAAEEA="
LSEG = "AQIAAAACAAAAmpmZmZmZuT9AjLV4Ha8VRAAAAAAAAPh/AAAAAAAA8P8="
BOX = (
    "AQMAAAABAAAABQAAAAAAAAAAAAhAAAAAAAAAEEAAAAAAAAAIQAAAAAAAAABAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAPA/"
    "AAAAAAAAEEAAAAAAAAAIQAAAAAAAABBA"
)


def _geometry(kind: str, wkb: str, **extensions: str) -> Json:
    return {"wkb": wkb, "srid": None, "extensions": {"type": kind, **extensions}}


PAIRS: list[tuple[str, Json, str]] = [
    ("bigint", 9223372036854775807, "9223372036854775807"),
    ("smallint", -3, "-3"),
    ("boolean", True, "t"),
    ("boolean", False, "f"),
    ("text", "", ""),
    ("character varying(10)", "vc", "vc"),
    ("character(5)", "ab   ", "ab   "),
    ("uuid", "327d4e5c-679f-4073-945a-c8e84b0a2b11", "327d4e5c-679f-4073-945a-c8e84b0a2b11"),
    ("json", '{"a": 1,  "b":"x"}', '{"a": 1,  "b":"x"}'),
    ("inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("daterange", "[2024-01-01,)", "[2024-01-01,)"),
    ("helpdesk.priority", "on fire", "on fire"),
    ("helpdesk.email", "a@b", "a@b"),
    ("numeric(12,4)", "1.1000", "1.1000"),
    ("numeric", "NAN", "NaN"),
    ("numeric", "POSITIVE_INFINITY", "Infinity"),
    ("numeric", "0.00000000000000000001", "0.00000000000000000001"),
    ("double precision", 1e20, "1e+20"),
    ("double precision", 1e15, "1e+15"),
    ("double precision", 123456789012345.0, "123456789012345"),
    ("double precision", 0.30000000000000004, "0.30000000000000004"),
    ("double precision", 0.0001, "0.0001"),
    ("double precision", 0.00001, "1e-05"),
    ("double precision", "NaN", "NaN"),
    ("double precision", -0.0, "-0"),
    ("double precision", 5, "5"),
    ("real", 123456790.0, "1.2345679e+08"),
    ("real", 0.1, "0.1"),
    ("real", 1e-7, "1e-07"),
    ("date", "2024-01-02Z", "2024-01-02"),
    ("date", "-0043-03-15Z", "0044-03-15 BC"),
    ("date", "0000-12-31Z", "0001-12-31 BC"),
    ("date", "-4712-01-01Z", "4713-01-01 BC"),
    ("date", "+294276-12-31Z", "294276-12-31"),
    ("date", "+5877611-06-21Z", "infinity"),
    ("date", "-5877611-06-22Z", "-infinity"),
    ("date", "+5881580-07-11Z", "infinity"),
    ("date", "-5877641-06-23Z", "-infinity"),
    ("timestamp without time zone", "2024-02-03T04:05:06Z", "2024-02-03 04:05:06"),
    ("timestamp(3) without time zone", "2024-01-01T10:00:00.500Z", "2024-01-01 10:00:00.5"),
    ("timestamp without time zone", "-0043-03-15T01:02:03.000001Z", "0044-03-15 01:02:03.000001 BC"),
    ("timestamp without time zone", "+292278994-08-16T23:00:00Z", "infinity"),
    ("timestamp without time zone", "-292275055-05-16T23:00:00Z", "-infinity"),
    ("timestamp with time zone", "2024-02-03T04:05:06.120000Z", "2024-02-03 04:05:06.12+00"),
    ("timestamp with time zone", "0000-12-31T23:59:59.000000Z", "0001-12-31 23:59:59+00 BC"),
    ("timestamp with time zone", "-4712-01-01T00:00:00.000000Z", "4713-01-01 00:00:00+00 BC"),
    ("timestamp with time zone", "+294276-12-31T23:59:59.999999Z", "294276-12-31 23:59:59.999999+00"),
    ("timestamp with time zone", "-infinity", "-infinity"),
    ("interval", "P0Y10M3DT-4H-5M-6.789S", "10 mons 3 days -04:05:06.789"),
    ("interval", "P0Y0M0DT0H0M0S", "00:00:00"),
    ("interval", "P0Y0M-1DT0H0M0.000001S", "-1 days +00:00:00.000001"),
    ("interval", "P100Y11M0DT0H0M0S", "100 years 11 mons"),
    ("interval", "P0Y0M0DT0H0M-1S", "-00:00:01"),
    ("interval", "P1Y-14M1DT100H0M0S", "-2 mons +1 day 100:00:00"),
    ("interval", "P-1Y-2M0DT0H0M0S", "-1 years -2 mons"),
    ("bytea", "AP8=", "\\x00ff"),
    ("bytea", "", "\\x"),
    ("xid8", "Nw==", "7"),
    (
        "text[]",
        ["a", None, "", 'x"y\\z', "NULL", "a b", ",{}"],
        '{a,NULL,"","x\\"y\\\\z","NULL","a b",",{}"}',
    ),
    ("integer[]", [1, None, 3], "{1,NULL,3}"),
    ("integer[]", [], "{}"),
    ("boolean[]", [True, None], "{t,NULL}"),
    ("bytea[]", ["AP8=", None], '{"\\\\x00ff",NULL}'),
    ("jsonb[]", ['{"a": 1}', None], '{"{\\"a\\": 1}",NULL}'),
    ("real[]", [1.4e-45, "NaN", None], "{1e-45,NaN,NULL}"),
    ("daterange[]", ["[2024-01-01,)", None], '{"[2024-01-01,)",NULL}'),
    ("real", 1.4e-45, "1e-45"),
    ("real", 3.4028235e38, "3.4028235e+38"),
    ("real", "-Infinity", "-Infinity"),
    ("real", 16777216.0, "1.6777216e+07"),
    ("double precision", "Infinity", "Infinity"),
    ("time without time zone", "12:34:56.700Z", "12:34:56.7"),
    ("time(0) without time zone", "01:02:00Z", "01:02:00"),
    ("interval day to second(3)", "P0Y0M3DT4H5M6.789S", "3 days 04:05:06.789"),
    ("interval year", "P3Y0M0DT0H0M0S", "3 years"),
    ("interval", "P-12Y-6M166DT0H0M-1.457552999S", "-12 years -6 mons +166 days -00:00:01.457553"),
    ("bit(1)", True, "1"),
    ("bit(8)", "", "00000000"),
    ("bit(8)", "BQ==", "00000101"),
    ("bit(70)", "AQ==", "0" * 69 + "1"),
    ("bit(70)", "//////////8/", "1" * 70),
    ("numeric(3,-2)", "12300." + "0" * 164, "12300"),
    ("numeric(3,-2)", "NAN", "NaN"),
    ("oid", 4294967295, "4294967295"),
    ("pg_lsn", "RkZGRkZGRkYvRkZGRkZGRkY=", "FFFFFFFF/FFFFFFFF"),
    ("tsquery", "J2EnICYgISdiJw==", "'a' & !'b'"),
    ("nummultirange", "eygxLjEwLDIuMF19", "{(1.10,2.0]}"),
    ("point", {"x": 0.1, "y": -1e300, "wkb": "", "srid": None}, "(0.1,-1e+300)"),
    ("point", {"x": "NaN", "y": -0.0}, "(NaN,-0)"),
    ("line", {"a": -1.0, "b": 0.1, "c": 1e20}, "{-1,0.1,1e+20}"),
    ("circle", {"center": {"x": 1.0, "y": 2.0}, "radius": "Infinity"}, "<(1,2),Infinity>"),
    ("lseg", _geometry("lseg", LSEG), "[(0.1,1e+20),(NaN,-Infinity)]"),
    ("path", _geometry("path", TWO_POINTS, closed="false"), "[(1,2),(3,4)]"),
    ("path", _geometry("path", TWO_POINTS, closed="true"), "((1,2),(3,4))"),
    ("box", _geometry("box", BOX), "(3,4),(1,2)"),
]


@pytest.mark.parametrize(("declared", "value", "text"), PAIRS, ids=str)
def test_a_value_becomes_what_postgres_prints(declared: str, value: Json, text: str) -> None:
    """Each pair was seen: the left in a record of Debezium 3.7.0, the right from Postgres 18."""
    read = converter(declared, HELPDESK)
    assert read is not None
    assert read(value) == text


@pytest.mark.parametrize(
    "declared",
    [
        *("time with time zone", "money", "xml", "polygon", "bit varying(8)", "refcursor", "regclass"),
        *("numeric[]", "date[]", "interval[]", "timestamp with time zone[]", "xid8[]", "tsvector[]"),
        *("helpdesk.priority[]", "helpdesk.email[]", "hstore", "some.type", "point[]", "int2vector"),
    ],
)
def test_a_type_that_arrives_changed_is_not_carried(declared: str) -> None:
    """A zone's offset, leading zeros, null for numeric[]: refused before anything is archived (FM-58 …)."""
    assert converter(declared, HELPDESK) is None


@pytest.mark.parametrize("name", schemas.names())
def test_the_reference_schemas_are_carried_whole(name: str) -> None:
    """Every owned and shared column has a converter."""
    assert not_carried(schemas.load(name).schema) == []


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("bigint", "7"),
        ("bigint", True),
        ("boolean", 1),
        ("text", 7),
        ("numeric", "1e5"),
        ("date", "infinity"),
        ("timestamp with time zone", "yesterday"),
        ("interval", "P1D"),
        ("bytea", "?"),
        ("double precision", True),
        ("text[]", "x"),
        ("integer[]", [[1, 2]]),
        ("text[]", ["[Ljava.lang.String;@61fe34b8"]),
        ("real", "x"),
        ("time without time zone", "12:34Z"),
        ("bit(3)", "gA=="),
        ("numeric(3,-2)", "1.5"),
        ("point", [1, 2]),
        ("point", {"x": 1.0}),
        ("path", _geometry("lseg", TWO_POINTS, closed="true")),
        ("lseg", _geometry("lseg", BOX)),
        ("lseg", _geometry("lseg", TWO_POINTS[:-8])),
        ("lseg", _geometry("lseg", "AQ==")),
        ("box", _geometry("box", "AQMAAAABAAAAAAAAAA==")),
    ],
)
def test_a_value_of_another_shape_is_refused(declared: str, value: Json) -> None:
    """What was never seen is not guessed at."""
    read = converter(declared, HELPDESK)
    assert read is not None
    with pytest.raises(BadValue):
        read(value)


def test_a_snapshot_reads_dates_as_numbers_and_all_columns_in_order() -> None:
    """The connector takes columns by position, and would lose a date's era."""
    settings = connector_settings(HELPDESK)
    tables = settings["snapshot.select.statement.overrides"].split(",")
    assert tables == ["helpdesk.accounts", "helpdesk.invoices"]
    for name in tables:
        select = settings[f"snapshot.select.statement.overrides.{name}"]
        places = [select.index(f'"{column.name}"') for column in HELPDESK.table(name).columns]
        assert places == sorted(places)
        assert "DATE '1970-01-01'" in select


SMALL = Schema(
    name="s",
    tables=(
        Table(
            name="s.t",
            tenancy=ByColumn(column="a"),
            key=("a",),
            columns=(Column(name="a", type="text"), Column(name="n", type="bigint", nullable=True)),
        ),
    ),
    script=ScriptHints(root="s.t"),
)


def _events(*records: dict[str, Any] | None) -> list[FeedEvent]:
    reader = Reader(schema=SMALL, placeholder=PLACEHOLDER)
    found: list[FeedEvent] = []
    for offset, record in enumerate(records):
        found += reader.events(offset, None if record is None else json.dumps(record).encode())
    return found


def _row(
    op: str, *, before: Any = None, after: Any = None, order: int = 1, **source: Any
) -> dict[str, Any]:
    transaction = {"id": "700:1", "total_order": order} if op != "r" else None
    whole = {"schema": "s", "table": "t", "txId": 700, "lsn": 50, **source}
    return {"op": op, "before": before, "after": after, "source": whole, "transaction": transaction}


def _snapshot(mark: str, table: str = "t", a: str = "x") -> dict[str, Any]:
    return _row("r", after={"a": a, "n": None}, table=table, snapshot=mark)


def test_a_transaction_becomes_begin_rows_and_end() -> None:
    """END carries the position, the count and the commit's time."""
    events = _events(
        {"status": "BEGIN", "id": "700:40", "ts_ms": 5},
        _row("c", after={"a": "x", "n": 1}),
        _row("u", before={"a": "x", "n": 1}, after={"a": "x", "n": None}, order=2),
        _row("d", before={"a": "x", "n": None}, order=3),
        _row("t", order=4),
        {"status": "END", "id": "700:90", "event_count": 4, "ts_ms": 5},
    )
    assert [type(e) for e in events] == [Begin, RowEvent, RowEvent, RowEvent, TruncateEvent, End]
    assert events[-1] == End(offset=5, xid=700, lsn=90, count=4, committed_ms=5)
    update = events[2]
    assert isinstance(update, RowEvent)
    assert (update.before, update.after) == ({"a": "x", "n": "1"}, {"a": "x", "n": None})


def test_debeziums_own_heartbeats_and_tombstones_are_nothing() -> None:
    """They carry no change."""
    assert _events({"ts_ms": 1795372482136}, None) == []


def test_messages_count_inside_a_transaction_and_not_outside() -> None:
    """A transactional one is among END's events."""
    inside = {**_row("m", table="", schema=""), "message": {"prefix": "app", "content": "aGVsbG8="}}
    assert _events(inside) == [MessageEvent(offset=0, xid=700, order=1)]
    assert _events({**inside, "transaction": None}) == []


def test_a_snapshot_ends_with_its_last_row() -> None:
    """Tables with a single row carry no first mark, only a last one."""
    events = _events(_snapshot("last_in_data_collection"), _snapshot("last", "t"))
    assert [type(e) for e in events][:2] == [SnapshotBegin, RowEvent]


def test_a_snapshot_that_begins_again_is_seen() -> None:
    """By a table that comes a second time, whatever its mark."""
    tables = [
        _snapshot("first"),
        _snapshot("last_in_data_collection"),
        _snapshot("first_in_data_collection", "restoreproof"),
        _snapshot("first"),
        _snapshot("last"),
    ]
    kinds = [type(e) for e in _events(*tables)]
    assert kinds.count(SnapshotBegin) == 2
    assert kinds[-1] is SnapshotEnd


def test_a_single_row_table_that_comes_again_begins_the_snapshot_again() -> None:
    """Two rows marked last of the same table are two snapshots."""
    kinds = [
        type(e) for e in _events(_snapshot("last_in_data_collection"), _snapshot("last_in_data_collection"))
    ]
    assert kinds == [SnapshotBegin, RowEvent, SnapshotBegin, RowEvent]


def test_what_is_streamed_ends_a_snapshot_without_a_last_row() -> None:
    """Its last table may have been empty."""
    events = _events(_snapshot("last_in_data_collection"), {"status": "BEGIN", "id": "700:40"})
    assert [type(e) for e in events] == [SnapshotBegin, RowEvent, SnapshotEnd, Begin]
    assert events[2] == SnapshotEnd(offset=1, lsn=50)


def test_a_snapshot_may_read_tables_that_nobody_declared() -> None:
    """Leaves of partitioned tables and unpublished ones are read by it, and left out here."""
    events = _events(_snapshot("first"), _snapshot("last", "t_0"))
    assert [type(e) for e in events] == [SnapshotBegin, RowEvent, SnapshotEnd]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_row("c", after={"a": PLACEHOLDER, "n": 1}), "without its value"),
        (_row("c", after={"a": "x", "n": "seven"}), r"s\.t\.n: 'seven' is not an integer"),
        (_row("c", after={"a": "x", "n": 1, "new": 1}), r"s\.t\.new has a type"),
        (
            _row("c", after={"a": {"printed": None, "misread": "1.5"}, "n": 1}),
            r"s\.t\.a: '1.5' is of a type that was dropped",
        ),
        (_row("z"), "unknown kind 'z'"),
        ({**_row("c", after={}), "transaction": None}, "outside of any transaction"),
        ({"status": "HALF", "id": "700:40"}, "status is 'HALF'"),
        ({"op": 7}, "Expected"),
    ],
)
def test_what_cannot_be_read_is_an_event_that_stops(record: dict[str, Any], reason: str) -> None:
    """The archiver must see it, with the reason."""
    (event,) = _events(record)
    assert isinstance(event, Unreadable)
    assert re.search(reason, event.reason), event.reason


def test_a_value_whose_type_was_gone_is_what_postgres_printed() -> None:
    """Of whatever type the column was; one whose parts merely look like it is not taken for it."""
    gone = {"printed": "bG93", "misread": None}
    (event,) = _events(_row("u", before={"a": gone, "n": None}, after={"a": "bG93", "n": gone}))
    assert isinstance(event, RowEvent)
    assert (event.before, event.after) == ({"a": "bG93", "n": None}, {"a": "bG93", "n": "bG93"})
    (other,) = _events(_row("c", after={"a": {"printed": "low"}, "n": 1}))
    assert isinstance(other, Unreadable)


@pytest.mark.parametrize(
    "value",
    [
        PLACEHOLDER,
        "X191bmF2YWlsYWJsZV8wMTIzX18=",
        [PLACEHOLDER],
        ["X191bmF2YWlsYWJsZV8wMTIzX18="],
        [*PLACEHOLDER.encode()],
        ["caef6aa6-7858-3480-b487-e5ad4db3882c"],
        {PLACEHOLDER: PLACEHOLDER},
    ],
)
def test_the_placeholder_is_known_in_each_of_its_forms(value: Json) -> None:
    """As text, as bytes, and in arrays of texts, bytes, numbers and UUIDs (FM-39)."""
    assert Placeholder(PLACEHOLDER).is_in(value)


@pytest.mark.parametrize(
    "value",
    [f"see {PLACEHOLDER}", [PLACEHOLDER, "x"], [], None, "", "__debezium_unavailable_value"],
)
def test_what_merely_holds_the_placeholder_is_a_value(value: Json) -> None:
    """An application may well speak of it; nor is anything a placeholder where there is none."""
    assert not Placeholder(PLACEHOLDER).is_in(value)
    assert not Placeholder("").is_in(value)


def test_the_placeholder_of_another_stack_is_a_value_like_any_other() -> None:
    """It is random for each stack, so an application may store what looks like one (FM-38)."""
    (event,) = _events(_row("c", after={"a": "__debezium_unavailable_value", "n": 1}))
    assert isinstance(event, RowEvent)
