"""The pytest plugin as a user's tests see it: the examples of the docs, and workers that share a stack."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.stack.options import StackOptions
from harness.stack.programs import cache

DOC = Path(__file__).parents[2] / "docs" / "pytest.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOC.read_text(), re.MULTILINE | re.DOTALL)
PARTS = ("postgres_pair", "cdc_pipeline", "locked_bucket")
"""Parts of a stack for tests of one's own: tried where users have them, which is in containers."""

FIXTURES = ("drill", *PARTS)
LINES_MAX = 14
"""Lines of an example's test, imports not counted."""

TAKING_TURNS = """
import os
import pytest

from harness.stack.options import StackOptions
from harness.stack.programs import cache
from pathlib import Path
from harness.generate.campaigns import campaign
from harness.schemas import load
from harness.shared import SharedSession

@pytest.mark.parametrize("seed", [1, 2])
def test_drill(drill, restoreproof_stack, seed):
    assert isinstance(restoreproof_stack, SharedSession)
    [plan] = campaign(load("shop").schema, seed=seed, plans=1, tenants=4, survivors="all")
    Path(f"worker-{os.environ['PYTEST_XDIST_WORKER']}").touch()
    assert drill(plan).verdict == "proven"
"""

ON_ITS_OWN = """
import os
from pathlib import Path

def test_bucket(locked_bucket):
    Path(f"worker-{os.environ['PYTEST_XDIST_WORKER']}").write_text(locked_bucket.bucket)
"""

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def the_programs_of_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home that pytester makes up has no programs in its cache: keep to the real one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.root().parent))


def fewer_drills(example: str) -> str:
    """Return an example with one drill instead of three: what it shows is the same."""
    return example.replace("max_examples=3", "max_examples=1")


def run(pytester: pytest.Pytester, host: str, *arguments: str) -> pytest.RunResult:
    """Run the user's tests in a process of their own, on a host."""
    return pytester.runpytest_subprocess(f"--restoreproof-host={host}", *arguments)


def test_every_fixture_has_a_short_example() -> None:
    """The docs show each fixture at work, in about ten lines."""
    for fixture, example in zip(FIXTURES, EXAMPLES, strict=True):
        test = example[example.index("def test_") :]
        assert f"({fixture}" in test
        assert len(test.splitlines()) <= LINES_MAX


@pytest.mark.parametrize(
    "fixture", ["drill", *(pytest.param(part, marks=pytest.mark.containers) for part in PARTS)]
)
def test_the_example_of_each_fixture_works(
    pytester: pytest.Pytester, restoreproof_options: StackOptions, fixture: str
) -> None:
    """What the docs show passes as it stands there, on the host of this run; the header names that host."""
    pytester.makepyfile(test_mine=fewer_drills(EXAMPLES[FIXTURES.index(fixture)]))
    done = run(pytester, restoreproof_options.host)
    assert done.parseoutcomes() == {"passed": 1}
    done.stdout.fnmatch_lines(
        [f"restoreproof: host {restoreproof_options.host}: postgres 1*, toxiproxy v*"]
    )


def test_each_worker_has_a_stack_of_its_own(
    pytester: pytest.Pytester, restoreproof_options: StackOptions
) -> None:
    """Nothing is shared by default: two workers, two buckets."""
    pytester.makepyfile(test_mine=ON_ITS_OWN)
    run(pytester, restoreproof_options.host, "-n", "2", "--dist=each").assert_outcomes(passed=2)
    assert len({told.read_text() for told in pytester.path.glob("worker-*")}) == 2


@pytest.mark.containers
def test_without_an_engine_tests_fail_and_do_not_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be tested is an error with its cure, and no success."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/nobody")
    pytester.makepyfile(test_mine="def test_mine(locked_bucket): pass")
    done = run(pytester, "containers")
    assert done.parseoutcomes() == {"errors": 1}
    done.stdout.fnmatch_lines(["restoreproof: host containers: *cure: *", "*MissingProgram*"])


@pytest.mark.containers
def test_workers_that_share_a_stack_take_turns_on_it(
    pytester: pytest.Pytester, restoreproof_options: StackOptions
) -> None:
    """Two workers, two drills, one stack: the later drill's logs begin with the earlier one's."""
    pytester.makepyfile(test_mine=TAKING_TURNS)
    options = ("-n", "2", "--restoreproof-shared", "--restoreproof-schema=shop", "--restoreproof-out=out")
    run(pytester, restoreproof_options.host, *options).assert_outcomes(passed=2)
    assert len(list(pytester.path.glob("worker-*"))) == 2
    runs = [pytester.path / "out" / name for name in ("drill-01", "drill-02")]
    assert {json.loads((run / "verdict.json").read_bytes())["verdict"] for run in runs} == {"proven"}
    first, second = sorted(((run / "logs" / "connect.log").read_bytes() for run in runs), key=len)
    assert second.startswith(first)
