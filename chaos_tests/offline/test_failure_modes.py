"""The table of failure modes: what counts as an answer, and how its page is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import BadInput
from harness.report import failure_modes
from harness.report.failure_modes import FailureMode, page, parse

MET = """
[FM-2]
name = "the mode | flips"
sees = "by its effect"
steps = ["mode_flipped"]
checks = ["script", "exact"]

[FM-1]
name = "wrong ids"
sees = "by its effect"
tests = ["offline/test_steps.py::test_x"]

[FM-74]
name = "one replica"
not_here = "there is one"

[FM-73]
name = "too large"
not_yet = "a fault"
"""


def test_rows_come_in_the_order_of_their_numbers() -> None:
    """Whatever their order in the file."""
    assert list(parse(MET)) == [1, 2, 73, 74]


@pytest.mark.parametrize(
    ("mode", "answered"),
    [
        (FailureMode(name="n", sees="s", tests=("t",)), True),
        (FailureMode(name="n", sees="s", faults=("f",), checks=("c",)), True),
        (FailureMode(name="n", not_here="r"), True),
        (FailureMode(name="n", sees="s", faults=("f",)), False),
        (FailureMode(name="n", sees="s", checks=("c",)), False),
        (FailureMode(name="n", tests=("t",)), False),
        (FailureMode(name="n", sees="s", tests=("t",), not_yet="half of it"), False),
        (FailureMode(name="n"), False),
    ],
)
def test_an_answer_is_a_trigger_and_a_check_or_a_reason(mode: FailureMode, answered: bool) -> None:
    """Neither a trigger nor a check alone will do, and what is half built is not answered."""
    assert mode.answered is answered


def test_a_page_has_a_row_for_each_and_says_what_is_left() -> None:
    """Each under its section's head, with its names; a bar in a text breaks no table."""
    text = page(parse(MET))
    assert text.count("## ") == 2
    assert "| 1 | wrong ids |  | by its effect<br>`offline/test_steps.py::test_x` |" in text
    assert (
        "| 2 | the mode \\| flips | step `mode_flipped` | by its effect<br>check `script`, `exact` |"
        in text
    )
    assert "| 74 | one replica | – | *Not here:* there is one |" in text
    assert "4 modes, 3 of them answered. Still to be built: FM-73." in text


def test_a_page_of_answers_alone_has_nothing_left() -> None:
    """The sentence about what is still to be built is gone then."""
    assert "Still to be built" not in page({1: FailureMode(name="n", not_here="r")})


@pytest.mark.parametrize(
    "text", ["[FM-1]\nname = 1", "[FM-one]\nname = 'n'", "[FM-1]\nname = 'n'\nhelp = 'x'", "[", "[FM-1]"]
)
def test_a_wrong_row_is_refused(text: str) -> None:
    """A type, a number, a field or a file that is none is one clear error."""
    with pytest.raises(BadInput, match=r"failure_modes\.toml"):
        parse(text)


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the file named, or to the repository's own place."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert failure_modes.main([]) == 0
    assert failure_modes.main(["other.md"]) == 0
    assert (tmp_path / failure_modes.PAGE).read_text() == (tmp_path / "other.md").read_text()
