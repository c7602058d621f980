"""Geometric values out of Debezium's structures: doubles in JSON, or in little-endian WKB. Pure.

A polygon is not among them: its ring is closed on the way, so that one whose last corner is its first can't
be told from one where it is not.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from harness.subject.reference.readers import BadValue, Json, double, octets

_POINT, _LINE, _POLYGON = 1, 2, 3
_CORNERS_OF_A_BOX = 5


def point(value: Json) -> str:
    """Read ``{"x": …, "y": …}``."""
    return _pair(_member(value, "x"), _member(value, "y"))


def line(value: Json) -> str:
    """Read the three coefficients."""
    return "{" + ",".join(double(_member(value, name)) for name in "abc") + "}"


def circle(value: Json) -> str:
    """Read a centre and a radius."""
    return f"<{point(_member(value, 'center'))},{double(_member(value, 'radius'))}>"


def segment(value: Json) -> str:
    """Read two points."""
    return "[" + ",".join(_points(value, "lseg", _LINE)) + "]"


def path(value: Json) -> str:
    """Read points, in brackets when open, in parentheses when closed."""
    closed = _member(_member(value, "extensions"), "closed")
    points = ",".join(_points(value, "path", _LINE))
    return f"({points})" if closed == "true" else f"[{points}]"


def box(value: Json) -> str:
    """Read a ring of five points; the first and the third are the corners, upper right first."""
    points = _points(value, "box", _POLYGON)
    if len(points) != _CORNERS_OF_A_BOX:
        raise BadValue(f"a box has {len(points)} points")
    return f"{points[0]},{points[2]}"


def _member(value: Json, name: str) -> Json:
    if isinstance(value, dict) and name in value:
        return value[name]
    raise BadValue(f"{value!r} has no {name}")


def _points(value: Json, kind: str, shape: int) -> Sequence[str]:
    """Return the points of a WKB line, or of the one ring of a WKB polygon."""
    if _member(_member(value, "extensions"), "type") != kind:
        raise BadValue(f"{value!r} is not a {kind}")
    wkb = octets(_member(value, "wkb"))
    header = 13 if shape == _POLYGON else 9
    (count,) = struct.unpack_from("<I", wkb, header - 4) if len(wkb) >= header else (-1,)
    if wkb[:5] != struct.pack("<BI", 1, shape) or len(wkb) != header + 16 * count:
        raise BadValue(f"{wkb.hex()} is not the WKB of a {kind}")
    numbers = struct.unpack_from(f"<{2 * count}d", wkb, header)
    return [_pair(*map(_json, numbers[n : n + 2])) for n in range(0, 2 * count, 2)]


def _json(number: float) -> Json:
    """Return a number as JSON has it: what is not finite, as its name."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return names.get(repr(number), number)


def _pair(x: Json, y: Json) -> str:
    return f"({double(x)},{double(y)})"
