"""Long texts, made from a seed by hashing: the same for whoever performs a plan and whoever tests one.

SHA-256 in counter mode gives bytes that no database can compress away, so that a long value really is
stored out of line.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from harness.model.operations import Filler

JSON_KEY = "filler"


@lru_cache(maxsize=16)
def expand_filler(filler: Filler) -> str:
    """Return the text that ``filler`` stands for, exactly as Postgres prints the stored value.

    ``text`` has ``chars`` characters, ``prefix`` included (at least the prefix). ``bytea`` is ``\\x`` and
    ``chars`` hex digits, rounded up to whole bytes. ``json`` holds a string of ``chars`` characters.
    """
    match filler.form:
        case "text":
            return filler.prefix + _hex(filler.seed, max(0, filler.chars - len(filler.prefix)))
        case "bytea":
            return "\\x" + _hex(filler.seed, filler.chars + filler.chars % 2)
        case "json":
            return f'{{"{JSON_KEY}": "{_hex(filler.seed, filler.chars)}"}}'


def _hex(seed: int, chars: int) -> str:
    blocks = (hashlib.sha256(b"%d:%d" % (seed, n)).hexdigest() for n in range(-(-chars // 64)))
    return "".join(blocks)[:chars]
