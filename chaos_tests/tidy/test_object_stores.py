"""The page on object stores is what the tests and their known failures say."""

from __future__ import annotations

from fixtures.object_servers import FAILS, PAGE, facts, page


def test_the_page_is_what_the_tests_say() -> None:
    """docs/object-stores.md is generated: `python -m fixtures.object_servers` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_each_known_failure_is_a_test_of_the_object_store() -> None:
    """A failure of a test that is gone, or was renamed, would stay on the page for ever."""
    named = {test for fails in FAILS.values() for test in fails}
    assert named <= {test for test, _ in facts()}
    assert len(list(facts())) > 15
