"""Further watermarks: copied right after they were reported, restored from, and held against that."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fixtures.handmade import QUIET, TENANTS, shop_plan
from harness import schemas
from harness.drive.journal import MemoryJournal
from harness.drive.runner import run_drill
from harness.generate import campaign
from harness.judge import check_run, judge
from harness.model import plan as plans
from harness.model.errors import BadInput
from harness.model.history import AnyEntry, BucketCopied, CopiesRefused, CopyRestored, WatermarkSeen
from harness.model.plan import Plan, Survivors
from harness.model.verdict import DrillVerdict, Finding
from harness.model.watermarks import WatermarkCheck
from harness.simulate import drill, simulate, simulate_into
from harness.simulate.loop import VirtualClock, run
from harness.simulate.world import build

SHOP = schemas.load("shop").schema
CHECKS = (
    WatermarkCheck(moment="write", after_s=2.5, tenants=(TENANTS[0],)),
    WatermarkCheck(moment="write", after_s=6.5, tenants=(QUIET, TENANTS[1])),
    WatermarkCheck(moment="incident", after_s=0.3, tenants=(TENANTS[3],)),
)


def checked(survivors: Survivors = "all") -> Plan:
    """Return a plan with three further watermarks."""
    plan = shop_plan(survivors=survivors, destroy_after_s=0.4)
    return msgspec.structs.replace(plan, watermark_checks=CHECKS)


@pytest.mark.parametrize("survivors", ["all", "archive", "standby"])
def test_whatever_survives_each_watermark_is_checked(survivors: Survivors) -> None:
    """Each is reported before its copy, and each tenant of it is restored from the copy or has nothing."""
    history = simulate(checked(survivors), SHOP).history
    copied = [e for e in history if isinstance(e, BucketCopied)]
    assert [entry.copy for entry in copied] == [0, 1, 2]
    for entry in copied:
        before = [e for e in history if isinstance(e, WatermarkSeen) and e.at_s <= entry.at_s]
        assert (entry.epoch, entry.lsn) in {(seen.epoch, seen.lsn) for seen in before}
    results = {(e.copy, e.tenant): e.result for e in history if isinstance(e, CopyRestored)}
    assert set(results) == {(n, tenant) for n, check in enumerate(CHECKS) for tenant in check.tenants}
    verdict = drill(checked(survivors), SHOP)
    assert verdict.verdict == "proven"
    assert verdict.points_judged[-1] == "8 honest (and 3 further watermarks)"
    assert len(verdict.points_not_judged) == 1


def test_a_run_folder_holds_what_came_from_the_copies(tmp_path: Path) -> None:
    """Judged again from its files it is the same."""
    simulate_into(tmp_path, checked(), SHOP)
    assert len(list((tmp_path / "restored").glob("@copy-*.jsonl"))) == 4
    assert check_run(tmp_path) == drill(checked(), SHOP)


def bent(change: dict[str, object], *, kind: type[AnyEntry]) -> DrillVerdict:
    """Judge a good drill in which one entry of ``kind`` says something else."""
    plan, left = checked(), simulate(checked(), SHOP)
    history = [
        msgspec.structs.replace(e, **change) if isinstance(e, kind) and getattr(e, "copy", -1) == 1 else e
        for e in left.history
    ]
    return judge(plan, SHOP, history, left.restored)


def told(verdict: DrillVerdict) -> list[Finding]:
    """Return what the check of further watermarks found."""
    findings = verdict.every_finding
    return [finding for finding in findings if finding.check == "watermarks"]


def test_what_lay_before_the_watermark_and_is_not_in_the_copy_is_broken() -> None:
    """The finding names the transaction, the watermark and the copy."""
    found = told(bent({"lsn": 1 << 40}, kind=BucketCopied))
    assert {finding.tenant for finding in found} == {TENANTS[1]}
    (finding,) = found
    assert (finding.verdict, finding.point) == ("broken", 8)
    assert "is not in copy 1 of the bucket" in finding.message


def test_a_restore_from_a_copy_that_fails_is_broken_if_anything_was_promised() -> None:
    """Nothing of the quiet tenant but its load lies before that watermark: it counts too."""
    found = told(bent({"result": "failed", "detail": "gone", "file": ""}, kind=CopyRestored))
    assert {finding.tenant for finding in found} == {QUIET, TENANTS[1]}
    assert all("(failed: gone)" in finding.message for finding in found)


@pytest.mark.parametrize(("tenant", "broken"), [(TENANTS[0], False), (TENANTS[3], True)])
def test_a_refused_restore_brought_nothing(tenant: str, broken: bool) -> None:
    """Right where the script had removed all of its rows by then, as a slow capture has it; else not."""
    late = WatermarkCheck(moment="incident", after_s=1.5, tenants=(TENANTS[0], TENANTS[3]))
    plan = msgspec.structs.replace(checked(), watermark_checks=(late,))
    left = simulate(plan, SHOP)
    restored = {e.tenant: e for e in left.history if isinstance(e, CopyRestored)}
    assert judge(plan, SHOP, left.history, left.restored).verdict == "proven"
    refused = msgspec.structs.replace(restored[tenant], result="refused", detail="nothing", file="")
    history = [refused if entry is restored[tenant] else entry for entry in left.history]
    found = told(judge(plan, SHOP, history, left.restored))
    assert [finding.verdict for finding in found] == ["broken"] * broken


def test_a_copy_in_which_nothing_was_promised_proves_nothing() -> None:
    """Before a tenant's first rows are durable there is nothing to restore, and nobody is to blame."""
    early = WatermarkCheck(moment="write", after_s=0.0, tenants=(TENANTS[0],))
    plan = msgspec.structs.replace(checked(), watermark_checks=(early,))
    left = simulate(plan, SHOP)
    assert [e.result for e in left.history if isinstance(e, CopyRestored)] == ["refused"]
    verdict = judge(plan, SHOP, left.history, left.restored)
    assert verdict.verdict == "proven"
    assert verdict.points_judged[-1] == "8 honest (for the restores made)"
    why_not = "nothing of the tenants drawn for it lay before it"
    assert verdict.points_not_judged[1:] == (f"point 8 for 1 further watermark ({why_not})",)


def test_rows_of_a_copy_that_were_not_read_are_unknown() -> None:
    """So is a watermark that was never checked."""
    bent_one = bent({"file": "restored/lost.jsonl"}, kind=CopyRestored)
    assert {finding.verdict for finding in told(bent_one)} == {"unknown"}
    assert bent_one.points_judged[-1] == "8 honest (and 2 further watermarks)"
    why_not = "what came from the copy was not read"
    assert bent_one.points_not_judged[1:] == (f"point 8 for 1 further watermark ({why_not})",)
    left = simulate(checked(), SHOP)
    history = [e for e in left.history if not isinstance(e, CopyRestored)]
    verdict = judge(checked(), SHOP, history, left.restored)
    assert [f.verdict for f in told(verdict)] == ["unknown"] * 4
    assert verdict.points_judged[-1] == "8 honest (for the restores made)"
    why_not = "nothing was restored from a copy of its moment"
    assert verdict.points_not_judged[1:] == (f"point 8 for 3 further watermarks ({why_not})",)


def test_a_world_that_can_copy_nothing_says_so_and_judges_the_restores_made() -> None:
    """It is in the history and among what was not judged, with the reason, and no fault of the system."""

    async def main() -> MemoryJournal:
        journal = MemoryJournal(VirtualClock())
        world = msgspec.structs.replace(build(checked(), SHOP), copies=None)
        await run_drill(checked(), SHOP, world, journal)
        return journal

    journal = run(main())
    assert len([e for e in journal.entries if isinstance(e, CopiesRefused)]) == 1
    verdict = judge(checked(), SHOP, journal.entries, journal.restored)
    assert verdict.verdict == "proven"
    assert verdict.points_judged[-1] == "8 honest (for the restores made)"
    why_not = "this host can't copy the object server's data"
    assert verdict.points_not_judged[1:] == (f"point 8 for 3 further watermarks ({why_not})",)


def test_a_storm_checks_three_watermarks_by_tenants_that_are_whole_then() -> None:
    """After the incident only tenants are taken that no script touches."""
    drawn = campaign(SHOP, seed=4, plans=6, profile="storm", tenants=4)
    for plan in drawn:
        assert len(plan.watermark_checks) == 3
        touched = {e.tenant for s in plan.scripts for tx in s.transactions for e in tx.actual}
        for check in plan.watermark_checks:
            assert check.tenants
            assert check.moment == "write" or not set(check.tenants) & touched
    assert {check.moment for plan in drawn for check in plan.watermark_checks} == {"write", "incident"}
    assert not any(plan.watermark_checks for plan in campaign(SHOP, seed=4, plans=2, tenants=2))


def test_a_check_by_an_unknown_tenant_is_refused() -> None:
    """A plan file's names must agree."""
    stranger = WatermarkCheck(moment="write", after_s=1.0, tenants=("nobody",))
    data = plans.encode(msgspec.structs.replace(checked(), watermark_checks=(stranger,)))
    with pytest.raises(BadInput, match="checks a watermark by a tenant that it does not hold"):
        plans.decode(data)
