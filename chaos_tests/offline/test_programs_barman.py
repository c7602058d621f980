"""Barman is fetched only when asked for, by pip with our hashes, into a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.model.errors import MissingProgram
from harness.stack.programs import barman, cache, children, parts, setup
from harness.stack.programs.progress import Silent

PINNED = re.compile(r"^([a-z0-9-]+)==\S+ \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def test_all_that_it_imports_is_pinned_with_hashes_for_every_python() -> None:
    """One wheel of each, or one for each Python from 3.11 to 3.14; no address is named."""
    text = barman.REQUIREMENTS.read_text(encoding="utf-8")
    pinned = {name: hashes.count("--hash") for name, hashes in PINNED.findall(text)}
    assert pinned == {"barman": 1, "psycopg2-binary": 4, "python-dateutil": 1, "tzdata": 1}
    assert "://" not in text


def test_a_set_up_that_nobody_asked_for_it_does_not_bring_it() -> None:
    """A plain drill does not grow by it."""
    assert "barman" not in {part.name for part in parts.pinned()}
    assert barman.part().version == "3.19.1"


def test_a_list_without_it_is_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes the list must not lose it."""
    monkeypatch.setattr(barman, "REQUIREMENTS", tmp_path / "requirements.txt")
    (tmp_path / "requirements.txt").write_text("other==1.0\n")
    with pytest.raises(LookupError, match="pins no barman"):
        barman.part()


def test_it_is_installed_as_pinned_and_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip takes nothing but what the hashes say; byte code is good whatever time its source has."""
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str], **_: object) -> children.Done:
        commands.append(command)
        if "--target" in command:
            (Path(command[command.index("--target") + 1]) / "barman.py").write_text("")
        return children.Done(code=0, output="")

    monkeypatch.setattr(cache, "root", lambda: tmp_path)
    monkeypatch.setattr(children, "run", run)
    setup.bring((barman.part(),), Silent())
    assert (barman.part().folder / "barman.py").exists()
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(commands[0])
    assert "unchecked-hash" in commands[1]


def test_what_pip_refuses_is_said_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it stays."""
    failed = children.Done(code=1, output="THESE PACKAGES DO NOT MATCH THE HASHES")
    monkeypatch.setattr(cache, "root", lambda: tmp_path)
    monkeypatch.setattr(children, "run", lambda *_, **__: failed)
    with pytest.raises(MissingProgram, match="DO NOT MATCH THE HASHES") as caught:
        setup.bring((barman.part(),), Silent())
    assert "ask for the witness again" in caught.value.cure
    assert not barman.part().folder.exists()
