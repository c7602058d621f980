"""What users' own tests get from pytest, by the entry point of the package.

``restoreproof_stack``: one real stack for the whole test session, started when a test first asks for it.
``drill``: a function that runs one plan on that stack and returns its verdict, for example::

    @settings(max_examples=3, phases=[Phase.generate], deadline=None)
    @given(plan=plans(load("helpdesk").schema))
    def test_every_tenant_comes_back(drill, plan):
        assert drill(plan).verdict == "proven"

A plan that is not proven is kept in its run folder and printed with the command that replays it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.model.plan import Plan
    from harness.model.verdict import DrillVerdict
    from harness.session import LiveSession


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("restoreproof")
    group.addoption(
        "--restoreproof-schema",
        default="helpdesk",
        help="schema of the drills: helpdesk, shop, or a folder of your own",
    )
    group.addoption(
        "--restoreproof-out",
        default=None,
        help="folder for run folders (default: a folder of the test session)",
    )


@pytest.fixture(scope="session")
def restoreproof_out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that run folders go to."""
    given = request.config.getoption("--restoreproof-out")
    return Path(given) if given else tmp_path_factory.mktemp("restoreproof")


@pytest.fixture(scope="session")
def restoreproof_stack(request: pytest.FixtureRequest) -> Iterator[LiveSession]:
    """Start one real stack for the test session; nothing of it is left behind."""
    from harness.session import LiveSession

    schema = request.config.getoption("--restoreproof-schema")
    with LiveSession.open(schema) as session:
        yield session


@pytest.fixture(scope="session")
def drill(restoreproof_stack: LiveSession, restoreproof_out: Path) -> Callable[[Plan], DrillVerdict]:
    """Return a function that runs one plan on the session's stack and judges it."""
    numbers = itertools.count(1)

    def run(plan: Plan) -> DrillVerdict:
        folder = restoreproof_out / f"drill-{next(numbers):02}"
        verdict = restoreproof_stack.drill(plan, folder)
        if verdict.verdict != "proven":
            print(f"{verdict.verdict}; replay with: restoreproof replay {folder}")  # noqa: T201 - pytest shows it
        return verdict

    return run
