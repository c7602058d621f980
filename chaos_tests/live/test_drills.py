"""Whole drills on real services: drawn plans, both schemas, all survivors, and a killed archiver.

Real services take seconds, so few plans are drawn and none is shrunk: the simulator does both. The fixture
by which a user's property draws plans is tried in ``test_pytest_plugin``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from msgspec import structs

from fixtures.handmade import TENANTS as TENANTS_BY_HAND
from fixtures.handmade import shop_plan
from harness.generate.campaigns import campaign, pinned_plan
from harness.judge import check_run
from harness.model import folder
from harness.model.attacks import Attack, AttackKind, Moment
from harness.model.errors import BadInput
from harness.model.faults import (
    AdvanceSlot,
    CancelCommit,
    ClockJump,
    CutLink,
    Kill,
    Pause,
    RestartConnector,
)
from harness.model.history import Attacked, Done, FaultBegan, FaultHealed, LocksSeen, decode_lines
from harness.model.watermarks import WatermarkCheck
from harness.schemas import load
from harness.session import LiveSession
from harness.stack.options import StackOptions
from harness.stack.programs import barman, setup
from harness.stack.programs.progress import Silent

pytestmark = pytest.mark.live

TENANTS = 8


@pytest.fixture(scope="module")
def shop(restoreproof_options: StackOptions) -> Iterator[LiveSession]:
    """A stack that holds the second schema, and can hear a second witness."""
    setup.bring((barman.part(),), Silent())
    with LiveSession.open("shop", restoreproof_options) as session:
        yield session


def test_a_campaign_is_proven_with_each_kind_of_survivors(
    restoreproof_stack: LiveSession, tmp_path: Path
) -> None:
    """A snapshot, an archiver killed while tenants write, and a second incident: all come back."""
    drawn = campaign(load("helpdesk").schema, seed=5, plans=3, tenants=TENANTS)
    assert {plan.survivors for plan in drawn} == {"all", "archive", "standby"}
    assert any(plan.initial == "snapshot" for plan in drawn)
    assert any(isinstance(fault, Kill) for plan in drawn for fault in plan.faults)
    assert any(plan.again for plan in drawn)
    verdicts = [restoreproof_stack.drill(p, tmp_path / f"{n}") for n, p in enumerate(drawn)]
    assert [verdict.verdict for verdict in verdicts] == ["proven"] * 3


def test_a_schema_of_another_shape_is_proven(shop: LiveSession, tmp_path: Path) -> None:
    """Nothing but its folder knows a schema: another one passes the same drills, the archive alone left."""
    [_, plan] = campaign(load("shop").schema, seed=3, plans=2, tenants=TENANTS)
    assert plan.survivors == "archive"
    assert shop.drill(plan, tmp_path / "run").verdict == "proven"


def test_a_schema_that_was_dropped_comes_back_and_its_run_is_judged_again_from_its_files(
    restoreproof_stack: LiveSession, tmp_path: Path
) -> None:
    """DROP SCHEMA CASCADE under writers: the first restore rebuilds it, and all go on from there.

    The verdict of a run is a function of its folder; page, logs and environment lie in it as well.
    """
    plan = pinned_plan(load("helpdesk").schema, kind="schema_dropped", seed=1, survivors="all")
    verdict = restoreproof_stack.drill(plan, tmp_path / "run")
    assert verdict.verdict == "proven"
    assert check_run(tmp_path / "run") == verdict
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {folder.PLAN, folder.HISTORY, folder.RESTORED, folder.LOGS, folder.REPORT}
    assert (tmp_path / "run" / folder.LOGS / "postgres-1.log").stat().st_size > 0


def every_attack() -> tuple[Attack, ...]:
    """Return each kind of attack once, its moment by its place in the list."""
    moments: tuple[Moment, ...] = get_args(Moment)
    kinds: tuple[AttackKind, ...] = get_args(AttackKind)
    return tuple(
        Attack(kind=kind, moment=moments[n % len(moments)], after_s=0.2 * n, aims=(0, 333, 666, 999))
        for n, kind in enumerate(kinds)
    )


def test_every_attack_on_the_bucket_changes_nothing_and_watermarks_hold_in_copies(
    shop: LiveSession, tmp_path: Path
) -> None:
    """What restores need can't be deleted or unlocked; copies hold what was reported before them.

    A second witness, which nobody attacked, agrees with what came back, or this host says why it has none.
    """
    checks = (
        WatermarkCheck(moment="write", after_s=3.0, tenants=TENANTS_BY_HAND[:2]),
        WatermarkCheck(moment="incident", after_s=0.5, tenants=TENANTS_BY_HAND[3:]),
    )
    plan = structs.replace(
        shop_plan(write_s=6.0, budget_s=5.0),
        attacks=every_attack(),
        watermark_checks=checks,
        witnessed=TENANTS_BY_HAND[:2],
        witness_needed=False,
    )
    verdict = shop.drill(plan, tmp_path)
    assert (verdict.verdict, verdict.findings) == ("proven", ())
    with (tmp_path / folder.HISTORY).open("rb") as lines:
        history = list(decode_lines(lines))
    acts = [entry for entry in history if isinstance(entry, Attacked)]
    assert {act.attack for act in acts} == set(range(len(plan.attacks)))
    (locks,) = [entry.locks for entry in history if isinstance(entry, LocksSeen)]
    needed = {(lock.key, lock.version) for lock in locks}
    done = {act.act for act in acts if not act.refused and (act.key, act.version) in needed}
    assert done <= {"overwrite", "hide"}
    copies = "2 further watermarks" if shop.stack.copies.possible else "for the restores made"
    assert copies in verdict.points_judged[-1]
    why_not = shop.stack.witness.why_not
    assert [said.said for said in verdict.witness] == ["not judged" if why_not else "agrees"] * 2
    assert {said.words for said in verdict.witness} == {why_not}


def test_faults_bite_and_heal_while_tenants_write(shop: LiveSession, tmp_path: Path) -> None:
    """A worker that dies, then stands still; a bucket out of reach while a commit's wait is cancelled."""
    faults = (
        Kill(service="connect", phase="write", after_s=1.0, down_s=0.5),
        Pause(service="connect", phase="write", after_s=5.0, down_s=0.5),
        CutLink(link="archiver-minio", phase="write", after_s=7.0, down_s=1.5),
        CancelCommit(phase="write", after_s=7.5, down_s=0.5),
    )
    verdict = shop.drill(shop_plan(write_s=13.0, budget_s=9.0, faults=faults), tmp_path / "run")
    assert verdict.verdict == "proven"
    entries = list(decode_lines((tmp_path / "run" / folder.HISTORY).read_bytes().splitlines()))
    assert sorted(e.fault for e in entries if isinstance(e, FaultHealed)) == [0, 1, 2, 3]
    assert any(isinstance(e, Done) and e.outcome == "unknown" for e in entries)


def test_a_connector_is_restarted_in_a_loop(shop: LiveSession, tmp_path: Path) -> None:
    """Each time once it has caught up, so that it comes back amid other transactions."""
    loop = RestartConnector(phase="write", after_s=1.0, down_s=0.5, times=3)
    verdict = shop.drill(shop_plan(write_s=10.0, budget_s=9.0, faults=(loop,)), tmp_path / "run")
    assert verdict.verdict == "proven"
    entries = list(decode_lines((tmp_path / "run" / folder.HISTORY).read_bytes().splitlines()))
    (began,) = [entry for entry in entries if isinstance(entry, FaultBegan)]
    assert began.bit
    assert "3 times" in began.proof


def test_a_primary_whose_clock_goes_back_changes_nothing(shop: LiveSession, tmp_path: Path) -> None:
    """Cuts are positions, and ages are of monotonic clocks. Images of containers hold no libfaketime."""
    jump = ClockJump(service="primary", phase="write", after_s=1.0, down_s=2.0, jump_s=-600.0)
    plan = shop_plan(write_s=10.0, budget_s=9.0, faults=(jump,))
    if shop.stack.host_name == "containers":
        with pytest.raises(BadInput, match="libfaketime"):
            shop.drill(plan, tmp_path / "run")
        return
    verdict = shop.drill(plan, tmp_path / "run")
    assert verdict.verdict == "proven"
    entries = list(decode_lines((tmp_path / "run" / folder.HISTORY).read_bytes().splitlines()))
    (bit,) = [entry.proof for entry in entries if isinstance(entry, FaultBegan)]
    assert "and is -600 s off" in bit


def test_a_slot_that_was_advanced_is_noticed_and_repaired_by_a_snapshot(
    shop: LiveSession, tmp_path: Path
) -> None:
    """Nobody goes on over a gap; a fresh snapshot heals, and nothing is broken.

    Mostly it is the archiver who stops. Where what the connector stored is still older than the slot was,
    it refuses to begin.
    """
    faults = (AdvanceSlot(phase="write", after_s=2.0, down_s=0.5),)
    verdict = shop.drill(shop_plan(write_s=6.0, budget_s=5.0, faults=faults), tmp_path / "run")
    assert verdict.verdict == "unknown"
    assert {finding.check for finding in verdict.findings} == {"envelope"}
    entries = list(decode_lines((tmp_path / "run" / folder.HISTORY).read_bytes().splitlines()))
    [healed] = [entry for entry in entries if isinstance(entry, FaultHealed)]
    assert healed.proof.startswith(("the archiver stopped", "the connector's task failed"))
    assert "a fresh snapshot was taken" in healed.proof
