"""Debezium's JSON values back to the text that Postgres itself prints. Pure.

What is carried is carried exactly, under the connector settings of ``connector.py``; a type that Debezium
bends on the way (24:00 as a time, the offset of a timetz, null for numeric[]: FM-63 to FM-67) is not in the
table below, and a schema that uses one is refused before anything is archived. Arrays must have one
dimension that begins at 1: others arrive without their shape.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Decimal

from harness.model.schema import Schema

Json = str | int | float | bool | list["Json"] | dict[str, "Json"] | None
ToText = Callable[[Json], str]


class BadValue(ValueError):
    """A value that is not what its type should look like; the message shows it."""


def converter(declared: str, schema: Schema) -> ToText | None:
    """Return what turns values of a declared type into text; None when the type can't be carried."""
    base = _base(schema.domains.get(declared, declared))
    if base in schema.enums:
        return _string
    if base.endswith("[]"):
        element = converter(base[:-2], schema)
        return None if element is None or base in _NOT_IN_ARRAYS else _array_of(element)
    return _SCALARS.get(base)


def not_carried(schema: Schema) -> list[tuple[str, str, str]]:
    """List (table, column, type) of owned and shared tables whose type can't be carried."""
    return [
        (table.name, column.name, column.type)
        for table in (*schema.owned, *schema.shared)
        for column in table.columns
        if converter(column.type, schema) is None
    ]


def _base(declared: str) -> str:
    """Strip the modifier: ``numeric(14,2)``, ``timestamp(3) without time zone``, ``character(5)[]``."""
    return re.sub(r"\(\d+(,\s*-?\d+)?\)", "", declared)


def _string(value: Json) -> str:
    if isinstance(value, str):
        return value
    raise BadValue(f"{value!r} is not a string")


def _integer(value: Json) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadValue(f"{value!r} is not an integer")


def _boolean(value: Json) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    raise BadValue(f"{value!r} is not a boolean")


_NUMERIC_NAMES = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}


def _numeric(value: Json) -> str:
    text = _string(value)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return text
    if text in _NUMERIC_NAMES:
        return _NUMERIC_NAMES[text]
    raise BadValue(f"{text!r} is not a numeric")


def _float_of(digits: int) -> ToText:
    """Return a converter for floats that Postgres writes with an exponent from 10^digits on."""

    def convert(value: Json) -> str:
        if value in ("NaN", "Infinity", "-Infinity"):
            return str(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValue(f"{value!r} is not a float")
        return _shortest(repr(float(value)), digits)

    return convert


def _shortest(text: str, digits: int) -> str:
    number = Decimal(text).normalize()
    exponent = number.adjusted()
    if not number:
        return "-0" if text.startswith("-") else "0"
    if -4 <= exponent < digits:
        return f"{number:f}"
    sign, figures, _ = number.as_tuple()
    fraction = "".join(map(str, figures[1:]))
    mantissa = f"{figures[0]}.{fraction}" if fraction else str(figures[0])
    return f"{'-' if sign else ''}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


_DATE = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)Z")
_TIMESTAMP = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z")
_DATE_YEARS = (-4713, 5_874_897)
_TIMESTAMP_YEARS = (-4713, 294_276)
"""The first and last year of the types; Java's own infinities lie far outside."""


def _date(value: Json) -> str:
    found = _DATE.fullmatch(_string(value))
    if found is None:
        raise BadValue(f"{value!r} is not a date")
    year = int(found[1])
    infinite = _infinite(year, _DATE_YEARS)
    return infinite or f"{_year(year)}-{found[2]}-{found[3]}{_era(year)}"


def _timestamp_with(zone: str) -> ToText:
    def convert(value: Json) -> str:
        text = _string(value)
        if text in ("infinity", "-infinity"):
            return text
        found = _TIMESTAMP.fullmatch(text)
        if found is None:
            raise BadValue(f"{value!r} is not a timestamp")
        year, fraction = int(found[1]), (found[5] or "").rstrip("0").rstrip(".")
        infinite = _infinite(year, _TIMESTAMP_YEARS)
        moment = f"{_year(year)}-{found[2]}-{found[3]} {found[4]}{fraction}{zone}{_era(year)}"
        return infinite or moment

    return convert


def _infinite(year: int, years: tuple[int, int]) -> str | None:
    if year > years[1]:
        return "infinity"
    return "-infinity" if year < years[0] else None


def _year(year: int) -> str:
    """Astronomical year to the year of its era: 0 is 1 BC."""
    return f"{year if year > 0 else 1 - year:04d}"


def _era(year: int) -> str:
    return "" if year > 0 else " BC"


_INTERVAL = re.compile(r"P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?)(\d+)(?:\.(\d{1,6})0*)?S", re.ASCII)


def _interval(value: Json) -> str:
    """ISO 8601 with signs to the style ``postgres``: ``1 year -2 mons +3 days -04:05:06.7``."""
    found = _INTERVAL.fullmatch(_string(value))
    if found is None:
        raise BadValue(f"{value!r} is not an interval")
    months = int(found[1]) * 12 + int(found[2])
    years = abs(months) // 12 * (1 if months > 0 else -1)
    units = [(years, "year"), (months - years * 12, "mon"), (int(found[3]), "day")]
    hours, minutes, seconds = int(found[4]), int(found[5]), int(found[7])
    fraction = (found[8] or "").rstrip("0")
    return _postgres_interval(
        [(number, unit) for number, unit in units if number],
        negative=hours < 0 or minutes < 0 or bool(found[6]),
        clock=(abs(hours), abs(minutes), seconds, fraction),
    )


def _postgres_interval(
    units: list[tuple[int, str]], *, negative: bool, clock: tuple[int, int, int, str]
) -> str:
    words, after_negative = [], False
    for number, unit in units:
        sign = "+" if after_negative and number > 0 else ""
        words.append(f"{sign}{number} {unit}{'' if number == 1 else 's'}")
        after_negative = number < 0
    hours, minutes, seconds, fraction = clock
    if any((hours, minutes, seconds, fraction)) or not words:
        sign = "-" if negative and any((hours, minutes, seconds, fraction)) else ""
        sign = sign or ("+" if after_negative else "")
        point = f".{fraction}" if fraction else ""
        words.append(f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{point}")
    return " ".join(words)


def _bytes(value: Json) -> bytes:
    try:
        return base64.b64decode(_string(value), validate=True)
    except binascii.Error:
        raise BadValue(f"{value!r} is not base64") from None


def _bytea(value: Json) -> str:
    return "\\x" + _bytes(value).hex()


def _printed(value: Json) -> str:
    """A type that Debezium does not know: the bytes of its text."""
    return _bytes(value).decode()


def _array_of(element: ToText) -> ToText:
    def convert(value: Json) -> str:
        if not isinstance(value, list):
            raise BadValue(f"{value!r} is not an array")
        cells = ("NULL" if cell is None else _quoted(element(_flat(cell))) for cell in value)
        return "{" + ",".join(cells) + "}"

    return convert


def _flat(cell: Json) -> Json:
    if isinstance(cell, list) or (isinstance(cell, str) and cell.startswith("[Ljava.lang.")):
        raise BadValue(f"an array of more than one dimension came as {cell!r}")
    return cell


_QUOTE = re.compile(r'["\\{},\s]')


def _quoted(text: str) -> str:
    if text and text.upper() != "NULL" and not _QUOTE.search(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TEXTUAL = (
    *("text", "character varying", "character", "name", "uuid", "json", "jsonb", "xml"),
    *("inet", "cidr", "macaddr", "macaddr8", "ltree", "citext", "tsvector"),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
)
_SCALARS: dict[str, ToText] = {
    **dict.fromkeys(_TEXTUAL, _string),
    **dict.fromkeys(("smallint", "integer", "bigint"), _integer),
    "boolean": _boolean,
    "numeric": _numeric,
    "real": _float_of(6),
    "double precision": _float_of(15),
    "date": _date,
    "timestamp without time zone": _timestamp_with(""),
    "timestamp with time zone": _timestamp_with("+00"),
    "interval": _interval,
    "bytea": _bytea,
    **dict.fromkeys(
        ("xid8", "int4multirange", "int8multirange", "nummultirange", "datemultirange"), _printed
    ),
}
_NOT_IN_ARRAYS = {"numeric[]", "date[]", "interval[]", "timestamp without time zone[]"}
"""Seen to arrive as null, without their era, or not at all (Debezium 3.7.0)."""
