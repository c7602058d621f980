"""``restoreproof doctor``: it names each fault with its cure, fits 80 columns, and starts nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.stack import doctor, folder
from harness.stack.findings import Finding
from harness.stack.programs import cache

OK = Finding(subject="memory", state="ok", text="3.0 GiB available")
FAULT = Finding(
    subject="disk", state="fault", text="0.1 GiB free at " + "/a-long-folder" * 12, cure="free some disk"
)


def test_the_diagnosis_fits_eighty_columns_and_drops_no_character() -> None:
    """A long path is folded, not cut."""
    written = io.StringIO()
    Console(file=written, width=80).print(doctor.render([OK, FAULT]))
    lines = written.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "".join(line.removeprefix("FAULT disk").strip() for line in lines).count("/a-long-folder") == 12
    assert "cure: free some disk" in written.getvalue()


@pytest.mark.parametrize(
    ("findings", "code", "closing"),
    [([OK], 0, "ready for drills"), ([OK, FAULT], 64, "1 fault found")],
    ids=["no fault", "a fault"],
)
def test_a_fault_ends_with_64(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    findings: list[Finding],
    code: int,
    closing: str,
) -> None:
    """The exit code says whether a drill could start."""
    monkeypatch.setattr(doctor, "CHECKS", (lambda _deep: findings,))
    assert doctor.main(deep=False) == code
    assert capsys.readouterr().out.splitlines()[-1].strip() == closing


def test_missing_programs_are_faults_with_their_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty cache is eight faults, each cured by the set-up."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "PUBLIC_ROOT", tmp_path)
    findings = doctor.check_programs(False)
    assert sorted(finding.subject for finding in findings) == [
        "converters",
        "debezium",
        "faketime",
        "java",
        "kafka",
        "minio",
        "postgres",
        "toxiproxy",
    ]
    assert {finding.state for finding in findings} == {"fault"}
    assert all("make setup" in finding.cure for finding in findings)


def test_too_little_memory_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without room for a stack is told so before anything starts."""
    monkeypatch.setattr(doctor, "MEMORY_BYTES_MIN", 1 << 60)
    [finding] = doctor.check_memory(False)
    assert finding.state == "fault"
    assert finding.cure


def test_too_little_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room for the data of stacks is checked where they will lie."""
    monkeypatch.setattr(folder, "FREE_BYTES_MIN", 1 << 60)
    finding = doctor.check_disk(False)[0]
    assert finding.state == "fault"
    assert "needed" in finding.text


def test_what_a_broken_off_setup_left_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scratch folder is a note, not a fault: the next set-up removes it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "PUBLIC_ROOT", tmp_path)
    (cache.root() / f"{cache.SCRATCH}minio-x").mkdir(parents=True)
    [found] = [finding for finding in doctor.check_leftovers(False) if finding.subject == "set-up"]
    assert found.state == "note"
    assert "1" in found.text


def test_every_check_holds_on_a_machine_that_runs_these_tests() -> None:
    """Platform, user, loopback and ports are what the suite itself needs."""
    checks = (doctor.check_platform, doctor.check_user, doctor.check_loopback, doctor.check_ports)
    findings = [finding for check in checks for finding in check(False)]
    assert len(findings) == 6
    assert [finding for finding in findings if finding.state == "fault"] == []
