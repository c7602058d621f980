"""``restoreproof.toml``: what it sets, and that nothing in it is ever ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import BadInput
from harness.stack.options import Limits, StackOptions
from harness.stack.settings import FILE, stack_options

WHOLE = """
[images]
postgres = "our-postgres:17.6"

[containers]
memory_mb = 1024
cpus = 1.5
"""


def test_without_a_file_everything_is_as_delivered(tmp_path: Path) -> None:
    """Our own images, no limits, on the host that was asked for."""
    assert stack_options("local", tmp_path) == StackOptions(host="local")
    assert stack_options("containers", tmp_path) == StackOptions(host="containers")


def test_images_and_limits_are_taken_from_the_file(tmp_path: Path) -> None:
    """A user's own Postgres takes the place of ours; the other images stay."""
    (tmp_path / FILE).write_text(WHOLE)
    options = stack_options("containers", tmp_path)
    assert options.images == {"postgres": "our-postgres:17.6"}
    assert options.limits == Limits(memory_mb=1024, cpus=1.5)


def test_the_file_of_the_working_directory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to name it."""
    (tmp_path / FILE).write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    assert stack_options("containers").limits.memory_mb == 1024


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[image]\npostgres = "p"', ["`image`"]),
        ('[images]\npostgrse = "p"', ["images", "`postgrse`"]),
        ("[images]\npostgres = 17", ["images.postgres", "str", "int"]),
        ('[images]\npostgres = ""', ["images.postgres"]),
        ('[images]\npostgres = "our postgres"', ["images.postgres"]),
        ("[containers]\nmemory = 1024", ["containers", "`memory`"]),
        ("[containers]\nmemory_mb = 16", ["containers.memory_mb", ">= 64"]),
        ('[containers]\nmemory_mb = "1g"', ["containers.memory_mb", "int", "str"]),
        ("[containers]\ncpus = 0", ["containers.cpus", "> 0"]),
        ("[containers", ["end of document"]),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    """The error names file, key and what was expected there, and the keys that exist, on either host."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInput) as refused:
        stack_options("local", tmp_path)
    for word in (FILE, "cure:", "memory_mb", *words):
        assert word in str(refused.value)
