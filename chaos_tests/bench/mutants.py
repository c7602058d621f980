"""The judge's own source, changed in every small way: a test must notice each change.

Mutmut changes one operator, constant or argument at a time, in a copy of the checkout, and runs the tests
that reach it. It is a tool run by hand, in an environment of its own that ``make mutants`` makes, and not
in the lock: without it nothing but this command stops. What it leaves over is shown as it differs.
"""

from __future__ import annotations

import ast
import difflib
import os
import shutil
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import tomli_w
from rich.console import Console

FOLDER = Path("runs/mutants")
TOOL = Path(".venv/mutants/bin/python")
MUTATED = ("harness/judge/states.py",)
TESTS = ("chaos_tests/offline/test_judge_states.py", "chaos_tests/offline/test_oracle_doc.py")
SLOW = "two_hundred or brute_force or where_it_is_forced"
"""Tests by many drawn histories: each takes longer than all those written by hand together."""

SURVIVED, UNREACHED = 0, 33
"""What mutmut says of a mutant; anything else was noticed: a test failed, crashed, or came to no end."""

Outcomes = dict[str, int | None]


def mutants(mutated: Sequence[str], tests: Sequence[str], tool: Path, console: Console) -> bool:
    """Mutate these files, and run these tests on each mutant; return whether all of them were noticed."""
    _copy_of_checkout(mutated, tests)
    command = [str(tool.absolute()), "-m", "mutmut", "run", "--max-children", "1"]
    house = {**os.environ, "CI": "true", "PYTHONPATH": sysconfig.get_path("purelib")}
    with (FOLDER / "mutmut.log").open("wb") as log:
        subprocess.run(command, cwd=FOLDER, env=house, check=True, stdout=log, stderr=subprocess.STDOUT)
    outcomes = {file: _outcomes(file) for file in mutated}
    for file, each in outcomes.items():
        counts = Counter(each.values())
        survived, unreached = counts[SURVIVED], counts[UNREACHED]
        console.print(
            f"{file}: {len(each)} mutants, {len(each) - survived - unreached} noticed,"
            f" {survived} survived, {unreached} reached by no test"
        )
        for name, lines in _survivors(file, each):
            console.print(f"    {name}", *lines, sep="\n        ", markup=False)
    return all(set(each.values()).isdisjoint({SURVIVED, UNREACHED}) for each in outcomes.values())


def _copy_of_checkout(mutated: Sequence[str], tests: Sequence[str]) -> None:
    """Copy what is under version control, with the settings of the tool."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    for file in filter(None, listed.split("\0")):
        (FOLDER / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, FOLDER / file)
    settings = {
        "source_paths": ["harness"],
        "only_mutate": list(mutated),
        "also_copy": ["chaos_tests", "fixtures", "conftest.py", "docs"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-q", "-k", f"not ({SLOW})"],
        "pytest_add_cli_args_test_selection": list(tests),
    }
    with (FOLDER / "pyproject.toml").open("a") as project:
        project.write("\n" + tomli_w.dumps({"tool": {"mutmut": settings}}))


def _outcomes(file: str) -> Outcomes:
    """Return what became of each mutant of a file, by its name."""
    told = msgspec.json.decode((FOLDER / "mutants" / f"{file}.meta").read_bytes())
    outcomes: Outcomes = told["exit_code_by_key"]
    return outcomes


def _survivors(file: str, outcomes: Outcomes) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each mutant that nobody noticed, and the lines that differ."""
    written = _functions(FOLDER / "mutants" / file)
    for key, outcome in outcomes.items():
        if outcome in (SURVIVED, UNREACHED):
            name = key.rpartition(".")[2]
            function, _, number = name.rpartition("__mutmut_")
            yield f"{function} {number}", _differing(written[f"{function}__mutmut_orig"], written[name])


def _functions(path: Path) -> Mapping[str, list[str]]:
    """Return the lines of each function, but the first, by name."""
    source = path.read_text()
    lines = source.splitlines()
    return {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }


def _differing(original: Sequence[str], mutant: Sequence[str]) -> list[str]:
    lines = difflib.unified_diff(original, mutant, lineterm="", n=0)
    return [f"{line[0]} {line[1:].strip()}" for line in list(lines)[2:] if line[0] in "+-"]
