"""What an attacker would put under the archive's next name: pure, from the public format alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

_NUMBERED = re.compile(r"((?:.*/)?)(\d+)", re.ASCII)
MEANINGLESS = b"planted"


def newest_numbered(keys: Iterable[str]) -> str | None:
    """Return the name whose last part is the highest number, None where no name's is one."""
    numbered = [(int(found[2]), key) for key in keys if (found := _NUMBERED.fullmatch(key))]
    return max(numbered)[1] if numbered else None


def next_name(key: str) -> str:
    """Return the name that comes after one whose last part is a number, as wide as it is."""
    found = _NUMBERED.fullmatch(key)
    assert found is not None  # newest_numbered() gave it
    return f"{found[1]}{int(found[2]) + 1:0{len(found[2])}d}"


def forge(body: bytes, tables: Sequence[str]) -> bytes:
    """Return an unsigned entry that follows ``body`` and says that ``tables`` were emptied.

    Bytes that are no entry of the reference archive come back changed at their end.
    """
    try:
        last = msgspec.json.decode(body, type=dict[str, object])
        end = msgspec.convert(last["end"], dict[str, int])
        seq = msgspec.convert(last["seq"], int)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError):
        return body + MEANINGLESS
    after = {**end, "lsn": end["lsn"] + 10}
    emptied = [{"kind": "truncate", "order": 1, "xid": 1, **after, "table": table} for table in tables]
    forged = {
        **{name: value for name, value in last.items() if name != "signature"},
        "seq": seq + 1,
        "prev": hashlib.sha256(body).hexdigest(),
        "start": end,
        "end": after,
        "segment": None,
        "globals": emptied,
    }
    return msgspec.json.encode(forged)
