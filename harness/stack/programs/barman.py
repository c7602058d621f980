"""Barman, the second witness: a Python program in a folder of its own, fetched when a plan asks for it.

``pins/barman/requirements.txt`` pins it with what it imports, for every Python that we support, and pip
checks the hashes; nothing else is resolved (``--no-deps``), and nothing is compiled but byte code. It is
kept apart from the harness's own packages: it is no library of ours, and its licence is another one.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Final

from harness.model.errors import MissingProgram
from harness.stack.programs import cache, children
from harness.stack.programs.parts import Note, Part
from harness.stack.programs.pins import PINS

REQUIREMENTS: Final = PINS / "barman" / "requirements.txt"
INSTALL_LIMIT_S: Final = 300.0
MAIN: Final = ("-c", "from barman.cli import main; main()")
"""How Python runs it, with its folder on ``PYTHONPATH``."""


def part() -> Part:
    """Return Barman as a part of the cache, for the Python that runs this."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    version = _version(text)
    return Part(
        name="barman",
        title=f"barman {version}",
        version=version,
        folder=cache.root() / f"barman-{version}-{digest}-{python}",
        fill=_fill,
    )


def _version(text: str) -> str:
    found = re.search(r"^barman==(\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"{REQUIREMENTS} pins no barman")
    return found[1]


def _fill(scratch: Path, tree: Path, _note: Note) -> None:
    """Have pip put it into ``tree``; byte code is good whatever time its source has."""
    temporary = scratch / "pip"
    temporary.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    pinned = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement", str(REQUIREMENTS)]
    _done([*pip, "--no-compile", "--target", str(tree), *pinned], temporary)
    compiled = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(tree)]
    _done([sys.executable, *compiled], temporary)


def _done(command: list[str], temporary: Path) -> None:
    done = children.run(command, limit_s=INSTALL_LIMIT_S, environment={"TMPDIR": str(temporary)})
    if done.code != 0:
        raise MissingProgram(
            f"barman could not be installed: {done.last_words}",
            cure="check the network and the free disk, then ask for the witness again",
        )
