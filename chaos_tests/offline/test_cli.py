"""The command line on bad input: one clear error with its cure, exit 64, nothing started, no traceback."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import __main__ as cli
from harness import session
from harness.generate.campaigns import campaign
from harness.model import plan
from harness.model.errors import EXIT_BAD_INPUT, BadInput
from harness.model.folder import ENVIRONMENT
from harness.schemas import load
from harness.stack import hosts
from harness.stack.settings import FILE
from harness.stack.stack import Stack

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line and returns exit code and stderr."""

    def command(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["restoreproof", *map(str, arguments)])
        code = cli.main()
        return code, capsys.readouterr().err

    return command


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    """Return a small plan as JSON."""
    [the_plan] = campaign(load("shop").schema, seed=1, plans=1, tenants=4)
    parsed = json.loads(plan.encode(the_plan))
    assert isinstance(parsed, dict)
    return parsed


def assert_refused(outcome: tuple[int, str], *words: str) -> None:
    """Assert that a command was refused with one error that has these words, a cure, and no traceback."""
    code, said = outcome
    assert code == EXIT_BAD_INPUT, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


def _stored(tmp_path: Path, drawn: dict[str, Any], **changes: object) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**drawn, **changes}))
    return path


def test_a_plan_with_an_unknown_step_is_refused(run: Run, tmp_path: Path, drawn: dict[str, Any]) -> None:
    """The error names the step and those that exist."""
    script = {**drawn["scripts"][0], "kind": "set_on_fire"}
    path = _stored(tmp_path, drawn, scripts=[script])
    assert_refused(run("replay", path), "set_on_fire", "cure: use one of")


def test_a_negative_duration_is_refused(run: Run, tmp_path: Path, drawn: dict[str, Any]) -> None:
    """The error names the field and its bound."""
    path = _stored(tmp_path, drawn, write_s=-1.0)
    assert_refused(run("replay", path), "write_s", ">= 0", "cure:")


def test_a_missing_field_is_refused(run: Run, tmp_path: Path, drawn: dict[str, Any]) -> None:
    """The error names the field."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({name: value for name, value in drawn.items() if name != "tenants"}))
    assert_refused(run("replay", path), "tenants", "cure:")


def test_a_field_too_many_is_refused(run: Run, tmp_path: Path, drawn: dict[str, Any]) -> None:
    """An unknown name never silently does nothing."""
    path = _stored(tmp_path, drawn, sruvivors="all")
    assert_refused(run("replay", path), "sruvivors", "cure:")


def test_a_plan_of_another_schema_is_refused(run: Run, tmp_path: Path, drawn: dict[str, Any]) -> None:
    """The error says for which schema the plan was drawn."""
    path = _stored(tmp_path, drawn)
    assert_refused(run("replay", path, "--schema", "helpdesk"), "shop", "helpdesk", "cure:")


def test_a_seed_that_is_no_number_is_refused(run: Run) -> None:
    """The error names the option and the value."""
    assert_refused(run("drill", "--seed", "seven"), "--seed", "seven")


def test_an_unknown_schema_is_refused(run: Run) -> None:
    """The error names the schemas that exist."""
    assert_refused(run("drill", "--schema", "nosuch"), "nosuch", "helpdesk", "cure:")


def test_a_folder_that_is_no_run_is_refused(run: Run, tmp_path: Path) -> None:
    """Commands on runs name the file that they miss."""
    assert_refused(run("replay", tmp_path), "plan.json", "cure:")
    assert_refused(run("check", tmp_path), "plan.json", "cure:")
    assert_refused(run("report", tmp_path), "plan.json", "cure:")


def test_missing_programs_are_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty cache a drill starts nothing, and says how to fill it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert_refused(run("drill", "--plans", "1", "--tenants", "4", "--out", tmp_path), "cure:", "make setup")


@pytest.mark.parametrize("command", [("drill",), ("replay", "runs"), ("up",)])
def test_an_unknown_host_is_refused(run: Run, command: tuple[str, ...]) -> None:
    """Every command that starts a stack names the hosts there are."""
    assert_refused(run(*command, "--host", "moon"), "moon", "local", "containers")


@pytest.mark.parametrize("host", ["local", "containers"])
def test_settings_that_are_not_understood_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """A typo in restoreproof.toml is told before anything is started, on either host."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text("[containers]\nmemroy_mb = 512\n")
    outcome = run("drill", "--plans", "1", "--tenants", "4", "--host", host)
    assert_refused(outcome, FILE, "memroy_mb", "cure:", "memory_mb")
    assert list(tmp_path.iterdir()) == [tmp_path / FILE]


def test_processes_are_refused_on_real_services(run: Run) -> None:
    """An option that would do nothing is named, with what to do."""
    assert_refused(
        run("power", "--host", "local", "--processes", "2"), "--processes", "cure:", "--host local"
    )


def test_a_restore_needs_exactly_one_cut(run: Run, tmp_path: Path) -> None:
    """Neither no cut nor two are guessed at."""
    config = ("--config", tmp_path / "archive.json")
    assert_refused(run("restore", "--tenant", "1", *config), "exactly one cut", "cure:")
    both = ("--before-xid", "1:2", "--before-lsn", "1:0/2")
    assert_refused(run("restore", "--tenant", "1", *config, *both), "exactly one cut", "cure:")


def test_what_is_to_be_left_out_must_be_a_transaction(run: Run, tmp_path: Path) -> None:
    """An xid means nothing without its epoch; and what is left out needs no other cut."""
    outcome = run("restore", "--tenant", "1", "--config", tmp_path / "archive.json", "--without", "seven")
    assert_refused(outcome, "seven", "cure:")


@pytest.mark.parametrize(
    "cut", [("--before-xid", "seven"), ("--before-xid", "1:"), ("--before-lsn", "0/16B3748")]
)
def test_a_cut_that_names_no_position_is_refused(run: Run, tmp_path: Path, cut: tuple[str, str]) -> None:
    """Xids and LSNs mean nothing without their epoch."""
    outcome = run("restore", "--tenant", "1", "--config", tmp_path / "archive.json", *cut)
    assert_refused(outcome, cut[1], "cure:")


def test_help_teaches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help says what each command does, and the exit codes, and succeeds."""
    monkeypatch.setattr(sys, "argv", ["restoreproof", "--help"])
    assert cli.main() == 0
    shown = capsys.readouterr().out
    assert "Exit codes: 0 proven" in shown
    assert all(name in shown for name in ("drill", "replay", "check", "report", "up", "doctor", "archive"))


def test_a_witness_of_what_nothing_survives_is_refused(run: Run) -> None:
    """A point-in-time restore needs a primary."""
    outcome = run("drill", "--witness", "--survivors", "archive")
    assert_refused(outcome, "can't be heard where only the archive survives", "--survivors all or standby")


@pytest.mark.parametrize("command", ["drill", "replay"])
def test_a_witness_that_the_host_can_not_give_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: dict[str, Any], command: str
) -> None:
    """Asked for by name, on the command line or in a plan, it is not passed over: nothing is started."""

    def refuse() -> None:
        raise BadInput("no second witness can be heard here", cure="go elsewhere")

    closed: list[bool] = []
    stack = SimpleNamespace(
        witness=SimpleNamespace(must_be_possible=refuse), close=lambda: closed.append(True)
    )
    monkeypatch.setattr(session, "_bring_witness", lambda: None)
    monkeypatch.setattr(hosts, "make_ready", lambda *_: None)
    monkeypatch.setattr(Stack, "prepare", lambda *_: stack)
    plan_file = _stored(tmp_path, drawn, witnessed=[drawn["tenants"][0]["tenant"]])
    asked = ("--witness", "--plans", "1", "--tenants", "4") if command == "drill" else (plan_file,)
    outcome = run(command, *asked, "--host", "containers", "--out", tmp_path / "runs")
    assert_refused(outcome, "no second witness can be heard here", "cure: go elsewhere")
    assert closed == [True]


def test_a_run_on_a_schema_of_ones_own_names_its_folder_to_be_found_again(tmp_path: Path) -> None:
    """The plan holds no more than its name; a reference schema needs no more, a copy of one does."""
    ours = load("shop")
    own = shutil.copytree(ours.folder, tmp_path / "shop")
    assert session._own_schema(ours) == {}
    assert session._own_schema(load(own)) == {"schema": str(own)}
    (tmp_path / ENVIRONMENT).write_text(
        json.dumps({"host": "containers", **session._own_schema(load(own))})
    )
    command = f"restoreproof replay {tmp_path} --schema {own} --host containers"
    assert session.replay_of(tmp_path) == command


def test_runs_that_are_none_can_not_be_gone_on_from(run: Run, tmp_path: Path) -> None:
    """What `--towards` names is read before anything is started."""
    assert_refused(run("drill", "--profile", "storm", "--towards", tmp_path), "holds no judged run", "cure")
    assert_refused(run("drill", "--towards", tmp_path), "--towards", "quick", "cure:", "--profile storm")
