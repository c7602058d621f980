"""What the pages of this repository name is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
PAGES = [name for name in LISTED.stdout.splitlines() if (ROOT / name).exists()]

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:[\w.-]+/)+(?!\d+`)[\w.*-]+)/?`")
"""A path in backticks has a slash in it. `table/7` is a row, and no path."""


def strangers(page: Path, text: str) -> Iterator[str]:
    """Yield each relative link and each path in backticks that leads nowhere.

    A link is relative to its page; a path may also start from the root, the product or the suites.
    """
    for target in LINK.findall(text):
        if "://" not in target and not (page.parent / target).exists():
            yield target
    bases = (page.parent, ROOT, ROOT / "harness", ROOT / "chaos_tests")
    for path in PATH.findall(text):
        if not any(any(base.glob(path)) for base in bases):
            yield path


@pytest.mark.parametrize("name", PAGES)
def test_each_path_and_link_leads_somewhere(name: str) -> None:
    """A file that was renamed or removed is named so no more."""
    assert list(strangers(ROOT / name, (ROOT / name).read_text())) == []


def test_what_leads_nowhere_is_seen() -> None:
    """The test above can fail, and passes over what is no path."""
    text = (
        "[a](nowhere.md) [b](https://host/x) [c](README.md#d) `fixtures/gone.py` `judge/checks/` `app.t/7`"
    )
    assert list(strangers(ROOT / "README.md", text)) == ["nowhere.md", "fixtures/gone.py"]
    assert len(PAGES) > 10
