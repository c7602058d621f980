"""Watermarks that a plan has checked beside those of its restores, as values.

At its instant the watermark is asked for, and then the object server's data folder is copied as it is. At
the end of the drill the tenants are restored from that copy: all that lay at or before the watermark must
be there.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class WatermarkCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One watermark to check: ``after_s`` into its moment, by restoring ``tenants`` from the copy.

    ``moment``: the write phase, or after the first damaging COMMIT was sent. Tenants are such as nothing
    damages before the copy is made.
    """

    moment: Literal["write", "incident"]
    after_s: Annotated[float, msgspec.Meta(ge=0)]
    tenants: tuple[str, ...]
