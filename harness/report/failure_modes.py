"""The failure modes that a drill must be able to meet, as data: what triggers each, and what sees it.

The rows are in ``failure_modes.toml`` beside this module, one table a number. They refer to steps, faults,
attacks, defects, checks, lint rules, settings and tests by name; ``chaos_tests/tidy`` sees that each name
exists. ``docs/failure-modes.md`` is written from here, by ``python -m harness.report.failure_modes``.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import msgspec

from harness.model.errors import BadInput

PAGE = Path("docs/failure-modes.md")

NUMBERS = tuple(range(1, 111))
"""Those that this table must hold."""

SECTIONS = {
    1: "Deletion scripts",
    15: "Postgres: durability and failover",
    37: "Capture",
    73: "Kafka and Connect",
    83: "Archiver and object store",
    97: "Restorer",
}
"""By the first number of each."""

TRIGGERS = {"steps": "step", "faults": "fault", "attacks": "attack", "defects": "defect"}
SEERS = {"checks": "check", "lints": "lint", "settings": "setting"}


class FailureMode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which recovery goes wrong.

    ``sees``: how it is noticed, in words. ``not_here``: why it can't occur. ``not_yet``: what is still to
    be built before it is met; what is there already may be named beside it.
    """

    name: str
    sees: str = ""
    steps: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    lints: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    not_here: str = ""
    not_yet: str = ""

    @property
    def met(self) -> bool:
        """Whether something triggers it and something sees it; a test does both."""
        triggered = any(getattr(self, kind) for kind in TRIGGERS)
        seen = any(getattr(self, kind) for kind in SEERS)
        return bool(self.sees) and (bool(self.tests) or (triggered and seen))

    @property
    def answered(self) -> bool:
        """Whether it is met or can't occur, and nothing of it is left to be built."""
        return not self.not_yet and (bool(self.not_here) or self.met)


def read() -> dict[int, FailureMode]:
    """Return all rows by number, in order; raises BadInput for one that is none."""
    return parse((resources.files("harness.report") / "failure_modes.toml").read_text())


def parse(text: str) -> dict[int, FailureMode]:
    """Return the rows of such a file; raises BadInput."""
    try:
        rows = msgspec.convert(tomllib.loads(text), dict[str, FailureMode])
        found = {int(name.removeprefix("FM-")): mode for name, mode in rows.items()}
    except (msgspec.ValidationError, ValueError) as error:
        raise BadInput(
            f"failure_modes.toml: {error}", cure="mend that row; the file's head says how one looks"
        ) from None
    return dict(sorted(found.items()))


def page(modes: dict[int, FailureMode]) -> str:
    """Return ``docs/failure-modes.md``."""
    open_ = [number for number, mode in modes.items() if mode.not_yet]
    left = f" Still to be built: {_listed(open_)}." if open_ else ""
    lines = [
        "# Failure modes, and who notices",
        "",
        "<!-- Written by `python -m harness.report.failure_modes`: change the table, not this page. -->",
        "",
        "Each row is a way in which the recovery of one tenant goes wrong; what brings it about in a drill",
        "or a test, and what sees it, or why it can't occur here. All names are the code's, and checked.",
        f"{len(modes)} modes, {sum(mode.answered for mode in modes.values())} of them answered.{left}",
    ]
    for number, mode in modes.items():
        section = next(title for first, title in reversed(SECTIONS.items()) if first <= number)
        if f"## {section}" not in lines:
            lines += ["", f"## {section}", "", "| FM | what goes wrong | triggered by | seen by |"]
            lines += ["|---|---|---|---|"]
        lines.append(f"| {number} | {_cell(mode.name)} | {_triggers(mode)} | {_seers(mode)} |")
    return "\n".join([*lines, ""])


def _triggers(mode: FailureMode) -> str:
    return _cell("<br>".join(_named(mode, TRIGGERS))) or ("–" if mode.not_here else "")


def _seers(mode: FailureMode) -> str:
    words = [mode.sees] if mode.sees else []
    words += [f"*Not here:* {mode.not_here}"] if mode.not_here else []
    words += [f"*Not yet:* {mode.not_yet}"] if mode.not_yet else []
    words += _named(mode, SEERS)
    words += [f"`{test}`" for test in mode.tests]
    return _cell("<br>".join(words))


def _named(mode: FailureMode, kinds: dict[str, str]) -> list[str]:
    return [
        f"{word} {', '.join(f'`{name}`' for name in getattr(mode, kind))}"
        for kind, word in kinds.items()
        if getattr(mode, kind)
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(f"FM-{number}" for number in numbers)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named, by default to the repository's own place; return the exit code."""
    path = Path(arguments[0]) if arguments else PAGE
    path.write_text(page(read()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
