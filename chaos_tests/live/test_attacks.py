"""A drill on real services whose archive is attacked all along, with the bucket's own credentials."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from fixtures.handmade import shop_plan
from harness.model import folder
from harness.model.attacks import Attack, AttackKind, Moment
from harness.model.history import Attacked, LocksSeen, decode_lines
from harness.session import LiveSession
from harness.stack.options import StackOptions

pytestmark = pytest.mark.live

HARMLESS = {"overwrite", "hide", "add", "take the next name", "remove lock rule"}
"""What the server does for anybody with the credentials; it must refuse everything else."""


def every_attack() -> tuple[Attack, ...]:
    """Return each kind of attack once, its moment by its place in the list."""
    moments: tuple[Moment, ...] = get_args(Moment)
    kinds: tuple[AttackKind, ...] = get_args(AttackKind)
    return tuple(
        Attack(kind=kind, moment=moments[n % len(moments)], after_s=0.2 * n, aims=(0, 333, 666, 999))
        for n, kind in enumerate(kinds)
    )


def test_every_attack_on_a_real_bucket_changes_nothing(
    restoreproof_options: StackOptions, tmp_path: Path
) -> None:
    """Each is answered, what must be refused is, and every tenant comes back."""
    plan = msgspec.structs.replace(shop_plan(write_s=6.0, budget_s=5.0), attacks=every_attack())
    with LiveSession.open("shop", restoreproof_options) as session:
        verdict = session.drill(plan, tmp_path)
    assert (verdict.verdict, verdict.findings) == ("proven", ())
    with (tmp_path / folder.HISTORY).open("rb") as lines:
        history = list(decode_lines(lines))
    acts = [entry for entry in history if isinstance(entry, Attacked)]
    assert {act.attack for act in acts} == set(range(len(plan.attacks)))
    done = {act.act for act in acts if not act.refused}
    assert done == HARMLESS, [act for act in acts if not act.refused and act.act not in HARMLESS]
    (locks,) = [entry.locks for entry in history if isinstance(entry, LocksSeen)]
    assert len(locks) > len(plan.tenants)
