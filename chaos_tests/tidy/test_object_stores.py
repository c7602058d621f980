"""The page on object stores is what the tests say."""

from __future__ import annotations

from fixtures.object_servers import PAGE, facts, page


def test_the_page_is_what_the_tests_say() -> None:
    """docs/object-stores.md is generated: `python -m fixtures.object_servers` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_tests_are_found() -> None:
    """A page without any would say nothing, and agree with it."""
    assert len(list(facts())) > 15
