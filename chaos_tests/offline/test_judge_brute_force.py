"""The judge says of every tiny history what brute force says: whether a state fits, and what it lost."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tests.offline import brute_force
from chaos_tests.offline.judge_world import a_schema
from chaos_tests.offline.tiny_histories import BUDGET_S, TENANTS, Tiny, tiny
from harness.judge.case import Case, open_case
from harness.judge.checks import exact, loss, nothing_else, prefix, resurrection
from harness.model import history as h
from harness.model.folder import restored_file
from harness.model.values import row_of

HISTORIES = 10_000
A_DRAW = 100
SCHEMA = a_schema()
ROWS = (exact.CHECK, prefix.CHECK, nothing_else.CHECK, resurrection.CHECK)

Said = tuple[bool, float | None]
"""Whether a state fits, and if so the loss in seconds."""


def by_brute_force(history: Tiny, tenant: str) -> Said:
    """What brute force says of the restore of a tenant."""
    transactions = brute_force.read(history.entries)
    script = next(tx for tx in transactions if tx.entry.actor == "script")
    damaged = history.plan.scripts[0].transactions[0].damaged
    meant_for_b = [script] if not damaged else []
    hit = script if tenant in damaged else None
    answer = brute_force.answer(
        [tx for tx in transactions if tx.entry.tenant == tenant or (tenant == "b" and tx in meant_for_b)],
        {brute_force.only(row.key): {**row_of(row.row)} for row in history.files[restored_file(tenant)]},
        hit=hit,
        incident_s=incident_s(history.entries, script, damaged=bool(damaged), hit=hit is not None),
    )
    return answer.fits, answer.loss_s if answer.fits else None


def incident_s(entries: list[h.Entry], script: brute_force.Tx, *, damaged: bool, hit: bool) -> float:
    """The instant I(t), by the words of the guarantee. ``hit``: of the tenant; ``damaged``: of anybody."""
    if hit:
        return script.entry.at_s
    for entry in entries:
        if isinstance(entry, h.Destroyed):
            return entry.at_s
    if damaged:
        return script.entry.at_s
    return next(e.at_s for e in entries if isinstance(e, h.Done) and e.name == "s0")


def by_the_judge(case: Case, tenant: str) -> Said:
    """What the judge's checks on points 1 to 4 say of the same restore.

    A finding that names a loss is of the budget, and of a state that fits, which lacks a deletion.
    """
    [judged] = case.restores_of(tenant)
    assert judged.loss is not None
    mine = [finding for check in ROWS for finding in check.run(case) if finding.tenant == tenant]
    fits = all(finding.loss_s is not None for finding in mine)
    assert all(BUDGET_S < finding.loss_s <= judged.loss.seconds for finding in mine if finding.loss_s)
    over = any(finding.tenant == tenant for finding in loss.CHECK.run(case))
    assert over == (judged.loss.seconds > BUDGET_S)
    return fits, judged.loss.seconds if fits else None


def compare(seed: int, seen: Counter[str]) -> None:
    """Compare both on the history of that number, and count what it was like."""
    history = tiny(seed)
    case = open_case(history.plan, SCHEMA, history.entries, history.files)
    for tenant in TENANTS:
        said, expected = by_the_judge(case, tenant), by_brute_force(history, tenant)
        assert said == expected, f"history {seed}, tenant {tenant}: {said}, by brute force {expected}"
        seen["fits" if said[0] else "fits not"] += 1
        seen["over budget"] += bool(said[1] and said[1] > BUDGET_S)
        seen["lossy"] += bool(said[1])
    seen.update(history.traits)
    seen["histories"] += 1


def test_the_judge_and_brute_force_agree_on_thousands_of_tiny_histories(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether a closed set of transactions fits, and the least loss, over every odd thing there is."""
    seen: Counter[str] = Counter()

    @settings(max_examples=HISTORIES // A_DRAW, deadline=None, database=None)
    @given(st.integers(min_value=0, max_value=10**9))
    def agree(first: int) -> None:
        for seed in range(first, first + A_DRAW):
            compare(seed, seen)

    agree()
    with capsys.disabled():
        sys.stdout.write(f"\n{seen['histories']} tiny histories judged as by brute force: {dict(seen)}\n")
    assert seen["histories"] >= HISTORIES
    odd = ("fits", "fits not", "lossy", "over budget", "open", "failover", "tried again", "a key changed")
    scripts = (f"script: {kind}" for kind in ("all", "keys", "mark", "move", "intended"))
    rare = {trait: seen[trait] for trait in (*odd, *scripts) if seen[trait] < HISTORIES // 50}
    assert not rare
