"""Values whose type was gone from the catalogue when capture came to their rows. Pure.

The stack's converter (``GoneTypes``) sends them as what Postgres printed, which is what the archive holds
of any value: the connector's session has the settings in which we print. Where it says that the column had
another type by then, the value was read as one of that, and nobody knows what it was.
"""

from __future__ import annotations

from harness.subject.reference.readers import BadValue, Json

_PRINTED, _MISREAD = "printed", "misread"


def is_gone(value: Json) -> bool:
    """Whether it is such a value; no type that is carried looks like it."""
    return isinstance(value, dict) and value.keys() == {_PRINTED, _MISREAD}


def printed(value: Json) -> str:
    """Return what Postgres printed; raises BadValue where that is not known."""
    assert isinstance(value, dict)  # is_gone() was asked before
    text = value[_PRINTED]
    if isinstance(text, str):
        return text
    raise BadValue(
        f"{value[_MISREAD]!r} is of a type that was dropped before capture came to it, and was read as"
        " one of the column's new type"
    )
