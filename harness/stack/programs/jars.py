"""Writes jars that are the same bytes whenever and wherever they are made."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

_TIME = (1980, 1, 1, 0, 0, 0)


def write_jar(path: Path, members: Mapping[str, bytes]) -> None:
    """Write the members, ordered by name: of one time, and stored, since zlibs compress differently."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(members.items()):
            archive.writestr(zipfile.ZipInfo(name, date_time=_TIME), content)
