"""The pytest plugin without a stack: options, the head of the report, run folders, and a lost keeper."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.handmade import shop_plan
from harness.model.errors import BadInput, HarnessFailed
from harness.pytest_plugin import _new_run
from harness.shared import Keeper, SharedSession
from harness.stack.heading import heading
from harness.stack.options import StackOptions
from harness.stack.wait import wait_until

PARENT = """
import os, signal, sys
from harness.shared import Keeper
sys.stdout.write(str(Keeper("shop", "local").place))
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_started_for_tests_that_ask_for_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite that does not use the plugin runs as ever; that programs are missing is only told."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "empty"))
    pytester.makepyfile(test_mine="def test_mine(): pass")
    done = pytester.runpytest_subprocess()
    assert done.parseoutcomes() == {"passed": 1}
    done.stdout.fnmatch_lines(
        ["restoreproof: host local: programs of the stack are missing*cure: run `make*"]
    )


def test_an_unknown_host_is_refused(pytester: pytest.Pytester) -> None:
    """pytest names the hosts there are, as for any option with choices."""
    done = pytester.runpytest_subprocess("--restoreproof-host=moon")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--restoreproof-host*moon*local*containers*"])


def test_settings_that_are_not_understood_fail_who_needs_them(pytester: pytest.Pytester) -> None:
    """A typo in restoreproof.toml stands at the head, and is an error of the tests that ask for a stack."""
    pytester.makefile(".toml", restoreproof="[containers]\ncpu = 1\n")
    pytester.makepyfile(test_mine="def test_a(): pass\ndef test_b(locked_bucket): pass")
    done = pytester.runpytest_subprocess()
    assert done.parseoutcomes() == {"passed": 1, "errors": 1}
    done.stdout.fnmatch_lines(["restoreproof: *restoreproof.toml*unknown field `cpu`"])


def test_the_head_names_host_and_versions() -> None:
    """Whoever reads a report knows what the drills ran on."""
    assert heading(StackOptions()).startswith("host local: postgres 1")


def test_run_folders_are_never_shared(tmp_path: Path) -> None:
    """Each is made by whoever gets it, so other processes and earlier runs keep theirs."""
    assert [_new_run(tmp_path / "out").name for _ in range(2)] == ["drill-01", "drill-02"]


def test_a_keeper_tells_what_it_can_not_start_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the shared stack is the same error in each worker, and is not tried again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keeper = Keeper("shop", "local")
    try:
        for _ in range(2):
            with pytest.raises(BadInput, match="programs of the stack are missing"):
                SharedSession(keeper.place, "shop").drill(shop_plan(), tmp_path / "run")
    finally:
        keeper.close()
    assert not keeper.place.exists()
    with pytest.raises(HarnessFailed, match="the keeper of the shared stack does not answer"):
        SharedSession(keeper.place, "shop").drill(shop_plan(), tmp_path / "run")


def test_a_keeper_ends_with_its_parent() -> None:
    """However the parent ended, the keeper reads the end of its input, and takes everything with it."""
    killed = subprocess.run(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    place = Path(killed.stdout)
    assert place.is_absolute()
    wait_until("the keeper is gone", lambda: not place.exists(), limit_s=30)
