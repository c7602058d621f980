"""Rules about this repository that no linter knows. Limits only ever get tighter: they ratchet."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "harness").rglob("*.py"))
TESTS = sorted((ROOT / "chaos_tests").rglob("test_*.py"))

FUNCTION_LINES_MAX = 35
MODULE_LINES_MAX = 500


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function of a module with the number of its lines, docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield f"{path.relative_to(ROOT)}:{node.name}", lines - _docstring_lines(node)


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def test_no_function_is_longer_than_its_limit() -> None:
    """A long function hides decisions among loops."""
    too_long = [f for path in SOURCES for f in _functions(path) if f[1] > FUNCTION_LINES_MAX]
    assert too_long == []


def test_no_module_is_longer_than_its_limit() -> None:
    """A module over 500 lines owns more than one thing."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: n for name, n in lengths.items() if n > MODULE_LINES_MAX} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_what_it_owns(path: Path) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_test_says_what_it_asserts_and_asserts_it(path: Path) -> None:
    """Every test has a one-sentence docstring, and a statement that can fail."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{node.name} says nothing"
            calls = {ast.unparse(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
            asserts = any(isinstance(n, ast.Assert) for n in ast.walk(node))
            judged = any(name.startswith(("assert_", "pytest.raises")) for name in calls)
            assert asserts or judged, f"{node.name} asserts nothing"


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """A live test that could not run fails; it does not skip. Nor does a fixture do it for the test."""
    pattern = re.compile(r"\bpytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    suites = [path for folder in ("chaos_tests", "fixtures") for path in (ROOT / folder).rglob("*.py")]
    found = [p.name for p in suites if p != Path(__file__) and pattern.search(p.read_text())]
    assert len(suites) > len(TESTS)
    assert found == []


def test_there_is_no_module_of_odds_and_ends() -> None:
    """A thing without a room of its own has not been understood."""
    odds = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert [p for p in SOURCES if p.name in odds] == []


def test_no_registry_host_is_named() -> None:
    """Registries are known to their clients; the repository names none."""
    hosts = re.compile(
        r"(pypi|pythonhosted|(proxy|sum)\.golang|npmjs|deb\.debian)\.(org|com)|maven2|(quay|ghcr)\.io",
        re.IGNORECASE,
    )
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [
        name
        for name in names.stdout.splitlines()
        if name != str(Path(__file__).relative_to(ROOT))
        and (ROOT / name).is_file()
        and hosts.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []


def test_imports_point_down_only() -> None:
    """The contracts between the rooms hold."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
