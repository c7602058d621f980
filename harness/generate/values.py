"""Values by SQL type, in the exact text in which Postgres prints them.

A *maker* knows one type. ``fresh(rng, n)`` gives a value that differs for each ``n`` (a plan's counters
never repeat, so no row ever returns to an image it had); ``special`` holds the values that have broken
backups somewhere: empty beside NULL, NaN, infinity, years BC, the capture system's own placeholder (FM-38).
``wide`` is False for types with too few values to be fresh (boolean, an enum, smallint).

Settings assumed, as everywhere in this house: DateStyle ISO, IntervalStyle postgres, TimeZone UTC,
bytea hex. Base types meet here; ``makers`` puts arrays, ranges, enums and domains together from them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random
from typing import NamedTuple

Fresh = Callable[[Random, int], str]
PLACEHOLDER = "__debezium_unavailable_value"
"""What the capture system writes for a value it does not have; here an application's own text (FM-38)."""

_BASE = datetime(2022, 4, 5, 7, 38)  # noqa: DTZ001 - printed without a zone, or as UTC
_WORDS = [
    "harbour",
    "amber",
    "kestrel",
    "ledger",
    "orchard",
    "velvet",
    "signal",
    "copper",
    "meadow",
    "lantern",
    "quarry",
    "ribbon",
    "saffron",
    "tundra",
    "walnut",
    "zephyr",
    "basalt",
    "cinder",
    "drift",
    "ember",
]


class Maker(NamedTuple):
    """How to make values of one type; ``special`` may be empty."""

    fresh: Fresh
    special: tuple[str, ...] = ()
    wide: bool = True


TEXT_SPECIAL = (
    "",
    " ",
    "NULL",
    "\\N",
    PLACEHOLDER,
    'it\'s "quoted", {braced} \\ and % $1',
    "two\nlines\tand a tab\r",
    "  spaces around  ",
    "Zoë 🦉 東京 \u202edesrever\u202c",
)


def base_maker(name: str, modifiers: tuple[int, ...]) -> Maker | None:
    """Return the maker of a built-in type such as ``numeric`` with its ``modifiers``, or None."""
    if name in _SIZED:
        return _SIZED[name](modifiers)
    return _PLAIN.get(name)


def text(rng: Random, n: int) -> str:
    """Return a few words that hold ``n``."""
    return f"{_word(rng)} {_word(rng)} {n}"


def _word(rng: Random) -> str:
    return _WORDS[int(rng.random() * len(_WORDS))]


def jsonb_text(value: object) -> str:
    """Print a value as jsonb prints it: keys by length, then by bytes; a space after ``:`` and ``,``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json_string(value)
        case dict():
            keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
            return "{" + ", ".join(f"{json_string(k)}: {jsonb_text(value[k])}" for k in keys) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(jsonb_text, value)) + "]"
        case _:
            return str(value)


_JSON_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_JSON_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def json_string(value: str) -> str:
    """Quote a string as Postgres does: controls escaped, all else as it is."""
    if not _JSON_SPECIAL.search(value):
        return f'"{value}"'
    return f'"{_JSON_SPECIAL.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    return _JSON_ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}"


_NEEDS_QUOTES = re.compile(r'[{}",\\ \t\n\r\v\f]|^$|^null$', re.IGNORECASE)


def array_text(elements: list[str | None]) -> str:
    """Print a one-dimensional array; an element is quoted only where it must be."""
    return "{" + ",".join("NULL" if e is None else _element(e) for e in elements) + "}"


def _element(value: str) -> str:
    if not _NEEDS_QUOTES.search(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def timestamp_text(moment: datetime, zone: str = "") -> str:
    """Print a timestamp: a fraction only where there is one, without trailing zeros."""
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment.replace(microsecond=0).isoformat(' ')}{fraction}{zone}"


def interval_text(days: int, micros: int) -> str:
    """Print an interval of whole days and 0 or more microseconds."""
    seconds, fraction = divmod(micros, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    clock += f".{fraction:06d}".rstrip("0") if fraction else ""
    if not days:
        return clock
    return f"{days} day{'' if days == 1 else 's'}" + (f" {clock}" if micros else "")


def _moment(rng: Random, n: int) -> datetime:
    return _BASE + timedelta(
        minutes=n % 50_000_000, microseconds=rng.choice((0, 250_000, rng.randrange(10**6)))
    )


def _jsonb(rng: Random, n: int) -> str:
    tags = jsonb_text([_word(rng), None, ""][: rng.randrange(4)])
    odd = f'{{"z": {rng.choice(("true", "false"))}, "aa": {tags}}}'
    return f'{{"n": {n}, "note": "{_word(rng)}", "odd key": {odd}}}'


def _interval(rng: Random, n: int) -> str:
    days, seconds = divmod(n, 86_400)
    return interval_text(days + 30 * rng.randrange(3), seconds * 1_000_000 + rng.choice((0, 7, 500_000)))


def _clock(_: Random, n: int) -> str:
    return interval_text(0, n * 1_000_003 % 86_400_000_000)


def _bytes(rng: Random, n: int) -> str:
    return f"\\x{n:08x}{rng.randbytes(rng.randrange(12)).hex()}"


def _address(_: Random, n: int) -> str:
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def _numeric(modifiers: tuple[int, ...]) -> Maker:
    if not modifiers:
        special = ("NaN", "0", "-0.000000000000000000001", "123456789012345678901234567890.1234567890")
        return Maker(lambda rng, n: f"{n}.{rng.randrange(1000):03d}", special)
    precision, scale = (*modifiers, 0)[:2]
    room = 10 ** (precision - scale)

    def fresh(rng: Random, n: int) -> str:
        return f"{n % room}" + (f".{rng.randrange(10**scale):0{scale}d}" if scale else "")

    zero = "0" + (f".{'0' * scale}" if scale else "")
    return Maker(fresh, ("NaN", zero), wide=room >= 10**7)


def _varying(modifiers: tuple[int, ...]) -> Maker:
    if not modifiers:
        return Maker(text, TEXT_SPECIAL)
    room = modifiers[0]
    special = tuple(value for value in TEXT_SPECIAL if len(value) <= room)
    return Maker(lambda rng, n: f"{n} {_word(rng)}"[:room].rstrip(), special, wide=room >= 9)


def _padded(modifiers: tuple[int, ...]) -> Maker:
    room = (modifiers or (1,))[0]
    return Maker(lambda _, n: f"{n}"[-room:].ljust(room), wide=room >= 9)


def _bits(modifiers: tuple[int, ...]) -> Maker:
    room = (modifiers or (1,))[0]
    return Maker(lambda _, n: f"{n % 2**room:0{room}b}", wide=room >= 24)


_SIZED: dict[str, Callable[[tuple[int, ...]], Maker]] = {
    "numeric": _numeric,
    "character varying": _varying,
    "character": _padded,
    "bit": _bits,
}

_PLAIN: dict[str, Maker] = {
    "text": Maker(text, TEXT_SPECIAL),
    "boolean": Maker(lambda rng, _: rng.choice("tf"), wide=False),
    "smallint": Maker(lambda rng, _: str(rng.randrange(-32768, 32768)), ("0",), wide=False),
    "integer": Maker(lambda _, n: str(n), ("0", "-1", "2147483647", "-2147483648")),
    "bigint": Maker(lambda _, n: str(n), ("0", "9223372036854775807", "-9223372036854775808")),
    "real": Maker(lambda _, n: str(n % 10**5 + 0.5), wide=False),
    "double precision": Maker(lambda _, n: f"{n % 10**9}.25"),
    "date": Maker(
        lambda _, n: (date(2022, 4, 5) + timedelta(days=n % 2_000_000)).isoformat(),
        ("0044-03-15 BC", "4713-01-01 BC", "0001-01-01", "9999-12-31"),
    ),
    "time without time zone": Maker(_clock, ("00:00:00",)),
    "timestamp without time zone": Maker(lambda rng, n: timestamp_text(_moment(rng, n))),
    "timestamp with time zone": Maker(
        lambda rng, n: timestamp_text(_moment(rng, n), "+00"), ("infinity", "-infinity")
    ),
    "interval": Maker(
        _interval, ("00:00:00", "1 mon", "1 year 2 mons 3 days 04:05:06.789", "-1 days +02:03:00")
    ),
    "uuid": Maker(
        lambda rng, n: str(uuid.UUID(int=n << 64 | rng.getrandbits(64))),
        ("00000000-0000-0000-0000-000000000000",),
    ),
    "inet": Maker(_address, ("2001:db8::1", "10.0.0.0/8", "::1")),
    "cidr": Maker(lambda rng, n: f"{_address(rng, n)}/32", ("10.0.0.0/8",)),
    "macaddr": Maker(lambda _, n: ":".join(re.findall("..", f"{n & (1 << 48) - 1:012x}"))),
    "bytea": Maker(_bytes, ("\\x", "\\x00ff")),
    "json": Maker(_jsonb, ("{}", "null")),
    "jsonb": Maker(
        _jsonb,
        (
            "{}",
            "[]",
            "null",
            '""',
            '{"a": null, "b": ""}',
            f'"{PLACEHOLDER}"',
            '{"x": 1.10, "y": 12345678901234567890}',
        ),
    ),
}
