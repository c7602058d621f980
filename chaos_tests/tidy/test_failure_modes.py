"""The table of failure modes is whole, refers to nothing that is not there, and is what its page says."""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from harness.generate.steps import STEPS
from harness.judge.checks import CHECKS
from harness.model import attacks, faults
from harness.report.failure_modes import NUMBERS, PAGE, FailureMode, page, read
from harness.simulate.defects import DEFECTS
from harness.subject.reference import rules
from harness.subject.reference.adapters import lint

ROOT = Path(__file__).parents[2]
MODES = read()

NOT_YET_MAX = 1
"""The ratchet: rows with something still to be built may only become fewer; lower it when they do."""


def fault_names() -> set[str]:
    """Return each kind of fault in words, and each name that faults of it can have."""
    kinds = typing.get_args(faults.Fault)
    return {faults.kind_words(kind) for kind in kinds} | {n for kind in kinds for n in faults.names(kind)}


def lint_rules() -> set[str]:
    """Return the rules of the lint, by their functions' names in words."""
    named = (name for module in (rules, lint) for name in vars(module) if name.startswith("_"))
    return {name.strip("_").replace("_", " ") for name in named}


def settings_text() -> str:
    """Return what the services are configured by, `"key": "value"` as well as key=value."""
    services = ("connect", "kafka", "postgres", "minio")
    texts = [(ROOT / f"harness/stack/services/{name}.py").read_text() for name in services]
    return "\n".join(texts).replace('": "', "=")


KNOWN: dict[str, Callable[[str], bool]] = {
    "steps": lambda name: name in STEPS,
    "faults": lambda name: name in fault_names(),
    "attacks": lambda name: name in typing.get_args(attacks.AttackKind),
    "defects": lambda name: name in {defect.name for defect in DEFECTS},
    "checks": lambda name: name in {check.name for check in CHECKS},
    "lints": lambda name: name in lint_rules(),
    "settings": lambda name: name in settings_text(),
    "tests": lambda name: name.partition("::")[2] in functions(name.partition("::")[0]),
}
"""For each kind of reference, whether a name is one."""


def functions(file: str) -> set[str]:
    """Return the names of all functions of a module below chaos_tests; none if there is no such module."""
    path = ROOT / "chaos_tests" / file
    if not path.exists():
        return set()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def strangers(mode: FailureMode) -> Iterator[str]:
    """Yield each reference of a row that leads nowhere."""
    for kind, known in KNOWN.items():
        yield from (f"{kind}: {name}" for name in getattr(mode, kind) if not known(name))


def test_every_number_is_there_and_no_other() -> None:
    """No failure mode of the list is left out."""
    assert tuple(MODES) == NUMBERS


@pytest.mark.parametrize("number", MODES, ids=lambda number: f"FM-{number}")
def test_each_row_is_answered_or_says_what_is_missing(number: int) -> None:
    """A row names what triggers it and what sees it, or why it can't occur, or what is missing."""
    mode = MODES[number]
    assert mode.answered or mode.not_yet, f"FM-{number} names neither trigger and check nor a reason"


@pytest.mark.parametrize("number", MODES, ids=lambda number: f"FM-{number}")
def test_each_reference_leads_somewhere(number: int) -> None:
    """Steps, faults, attacks, defects, checks, lint rules, settings and tests exist under their names."""
    assert list(strangers(MODES[number])) == []


def test_a_reference_that_leads_nowhere_is_seen() -> None:
    """The test above can fail: of each kind an unknown name is a stranger."""
    wrong = msgspec.convert({"name": "n", **dict.fromkeys(KNOWN, ("no such thing",))}, FailureMode)
    assert len(list(strangers(wrong))) == len(KNOWN)


def test_what_is_still_to_be_built_does_not_become_more() -> None:
    """The ratchet on rows that are not answered yet."""
    waiting = [f"FM-{number}: {mode.not_yet}" for number, mode in MODES.items() if mode.not_yet]
    assert len(waiting) <= NOT_YET_MAX, waiting


def test_the_page_is_what_the_table_says() -> None:
    """docs/failure-modes.md is generated: `python -m harness.report.failure_modes` writes it."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(MODES)


def test_each_defect_has_its_row() -> None:
    """A planted defect is named in the row of its failure mode."""
    numbers = {defect.name: int(defect.failure_mode.removeprefix("FM-")) for defect in DEFECTS}
    assert [name for name, number in numbers.items() if name not in MODES[number].defects] == []
