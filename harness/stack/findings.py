"""What a diagnosis consists of: findings, each with its cure where one helps."""

from __future__ import annotations

from typing import Literal

import msgspec

GIB = 1 << 30

State = Literal["ok", "note", "fault"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one ``subject``; a fault, and a note where it helps, carries its ``cure``."""

    subject: str
    state: State
    text: str
    cure: str = ""


def judged(subject: str, holds: bool, text: str, cure: str) -> Finding:
    """Return a finding that is a fault, with its cure, unless it holds."""
    state: State = "ok" if holds else "fault"
    return Finding(subject=subject, state=state, text=text, cure="" if holds else cure)


def worth(subject: str, holds: bool, text: str, cure: str) -> Finding:
    """Return a finding that is a note, with its cure, unless it holds."""
    state: State = "ok" if holds else "note"
    return Finding(subject=subject, state=state, text=text, cure="" if holds else cure)


def gib(size_bytes: int) -> str:
    """Return a size for people, in GiB."""
    return f"{size_bytes / GIB:.1f} GiB"
