"""Debezium's JSON values back to the text that Postgres itself prints: a reader for each shape. Pure.

Which type is read by which, and which by none, says the table in ``carried.py``.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal

Json = str | int | float | bool | list["Json"] | dict[str, "Json"] | None
ToText = Callable[[Json], str]


class BadValue(ValueError):
    """A value that is not what its type should look like; the message shows it."""


def string(value: Json) -> str:
    """Read a text as it stands."""
    if isinstance(value, str):
        return value
    raise BadValue(f"{value!r} is not a string")


def integer(value: Json) -> str:
    """Read a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadValue(f"{value!r} is not an integer")


def boolean(value: Json) -> str:
    """Read a truth value."""
    if isinstance(value, bool):
        return "t" if value else "f"
    raise BadValue(f"{value!r} is not a boolean")


_SINGLE_MAX = 3.4028234663852886e38
_NUMERIC_NAMES = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}


def numeric(value: Json) -> str:
    """Read a decimal, NaN and the infinities included."""
    text = string(value)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return text
    if text in _NUMERIC_NAMES:
        return _NUMERIC_NAMES[text]
    raise BadValue(f"{text!r} is not a numeric")


def double(value: Json) -> str:
    """Read a double; Postgres writes an exponent from 10^15 on."""
    number = _number(value)
    return _not_finite(number) or _shortest(repr(number), 15)


def real(value: Json) -> str:
    """Read a single with the fewest digits that tell it; Postgres writes an exponent from 10^6 on."""
    number = _number(value)
    return _not_finite(number) or _shortest(_single(number), 6)


def _not_finite(number: float) -> str | None:
    """Return the name of what is no number, None for a number."""
    if math.isfinite(number):
        return None
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _number(value: Json) -> float:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(str(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"{value!r} is not a float")
    return float(value)


def _single(number: float) -> str:
    wanted = struct.pack("<f", number)
    for digits in range(1, 9):
        text = f"{number:.{digits}g}"
        if abs(float(text)) <= _SINGLE_MAX and struct.pack("<f", float(text)) == wanted:
            return text
    return f"{number:.9g}"


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


def date(value: Json) -> str:
    """Read a date, its era and the infinities included."""
    found = _DATE.fullmatch(string(value))
    if found is None:
        raise BadValue(f"{value!r} is not a date")
    year = int(found[1])
    infinite = _infinite(year, _DATE_YEARS)
    return infinite or f"{_year(year)}-{found[2]}-{found[3]}{_era(year)}"


def timestamp_with(zone: str) -> ToText:
    """Return a reader of timestamps, which are printed with ``zone``."""

    def convert(value: Json) -> str:
        text = string(value)
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


_MICROSECOND = Decimal("0.000001")
_INTERVAL = re.compile(r"P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?)(\d+(?:\.\d{1,9})?)S", re.ASCII)


def interval(value: Json) -> str:
    """ISO 8601 with signs to the style ``postgres``: ``1 year -2 mons +3 days -04:05:06.7``."""
    found = _INTERVAL.fullmatch(string(value))
    if found is None:
        raise BadValue(f"{value!r} is not an interval")
    months = int(found[1]) * 12 + int(found[2])
    years = abs(months) // 12 * (1 if months > 0 else -1)
    units = [(years, "year"), (months - years * 12, "mon"), (int(found[3]), "day")]
    hours, minutes = int(found[4]), int(found[5])
    # it went through a double: microseconds come a nanosecond short now and then
    seconds, _, fraction = str(Decimal(found[7]).quantize(_MICROSECOND)).partition(".")
    return _postgres_interval(
        [(number, unit) for number, unit in units if number],
        negative=hours < 0 or minutes < 0 or bool(found[6]),
        clock=(abs(hours), abs(minutes), int(seconds), fraction.rstrip("0")),
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


def octets(value: Json) -> bytes:
    """Read bytes."""
    try:
        return base64.b64decode(string(value), validate=True)
    except binascii.Error:
        raise BadValue(f"{value!r} is not base64") from None


def bytea(value: Json) -> str:
    """Read bytes, and print them in hex."""
    return "\\x" + octets(value).hex()


def printed(value: Json) -> str:
    """A type that Debezium does not know: the bytes of its text."""
    return octets(value).decode()


def array_of(element: ToText) -> ToText:
    """Return a reader of arrays that have one dimension, beginning at 1."""

    def convert(value: Json) -> str:
        if not isinstance(value, list):
            raise BadValue(f"{value!r} is not an array")
        cells = ("NULL" if cell is None else _quoted(element(_flat(cell))) for cell in value)
        return "{" + ",".join(cells) + "}"

    return convert


_JAVA_ARRAY = re.compile(r"\[+L?[\w.]+;?@[0-9a-f]+")


def _flat(cell: Json) -> Json:
    """Refuse what arrays in an array become, should the CHECK that forbids them be gone."""
    if isinstance(cell, list) or (isinstance(cell, str) and _JAVA_ARRAY.fullmatch(cell)):
        raise BadValue(f"an array of more than one dimension came as {cell!r}")
    return cell


_QUOTE = re.compile(r'["\\{},\s]')


def _quoted(text: str) -> str:
    if text and text.upper() != "NULL" and not _QUOTE.search(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def whole_numeric(value: Json) -> str:
    """Read a decimal of a scale below 0, which arrives with a fraction of very many zeros."""
    whole, _, fraction = numeric(value).partition(".")
    if fraction.strip("0"):
        raise BadValue(f"{value!r} has a fraction")
    return whole


def bits_of(length: int) -> ToText:
    """Return a reader of bit strings of ``length``: little-endian bytes without leading zeros."""

    def convert(value: Json) -> str:
        number = int(value) if isinstance(value, bool) else int.from_bytes(octets(value), "little")
        if number.bit_length() > length:
            raise BadValue(f"{value!r} has more than {length} bits")
        return f"{number:0{length}b}"

    return convert


def clock(value: Json) -> str:
    """Read a time of day."""
    found = _CLOCK.fullmatch(string(value))
    if found is None:
        raise BadValue(f"{value!r} is not a time")
    return found[1] + (found[2] or "").rstrip("0").rstrip(".")


_CLOCK = re.compile(r"(\d\d:\d\d:\d\d)(\.\d{1,6})?Z")
