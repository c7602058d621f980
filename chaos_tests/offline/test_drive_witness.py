"""The second witness in a drill: begun before the load, heard after the last restore, its rows kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from fixtures.handmade import QUIET, TENANTS, failover_plan, shop_plan
from harness import schemas
from harness.drive.journal import MemoryJournal
from harness.drive.ports import Rows, Witness, World
from harness.drive.runner import run_drill
from harness.generate import campaign, pinned_plan, plans
from harness.judge import check_run, judge
from harness.model import plan as plan_files
from harness.model.errors import BadInput, HarnessFailed
from harness.model.history import Cut, PhaseBegan, WitnessBegan, Witnessed, WitnessRefused
from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict
from harness.simulate import drill, simulate, simulate_into
from harness.simulate.disputed import heard as all_heard
from harness.simulate.loop import VirtualClock, run
from harness.simulate.witness import SimulatedWitness
from harness.simulate.world import build

SHOP = schemas.load("shop").schema
HELPDESK = schemas.load("helpdesk").schema


def heard(plan: Plan | None = None, *tenants: str) -> Plan:
    """Return a plan that hears the witness of these tenants, by default of two damaged ones and another."""
    return msgspec.structs.replace(plan or shop_plan(), witnessed=tenants or (*TENANTS[:2], TENANTS[2]))


def in_world(plan: Plan, change: Callable[[World], World]) -> tuple[MemoryJournal, DrillVerdict]:
    """Run a plan in a world that was changed; return the journal and the verdict."""

    async def main() -> MemoryJournal:
        journal = MemoryJournal(VirtualClock())
        await run_drill(plan, SHOP, change(build(plan, SHOP)), journal)
        return journal

    journal = run(main())
    return journal, judge(plan, SHOP, journal.entries, journal.restored)


class Failing:
    """A witness that can't do what its kind of failure says."""

    def __init__(self, inner: Witness, fails: str) -> None:
        self._inner, self._fails = inner, fails
        self.ended = 0

    async def begin(self) -> str:
        """Begin, unless that fails."""
        self._may("begin")
        return await self._inner.begin()

    async def gather(self) -> None:
        """Gather, unless that fails."""
        self._may("gather")
        await self._inner.gather()

    async def read(self, cut: Cut, tenants: Sequence[str]) -> dict[str, Rows]:
        """Read, unless that fails."""
        self._may("read")
        return await self._inner.read(cut, tenants)

    async def end(self) -> None:
        """Count the end."""
        self.ended += 1
        await self._inner.end()

    def _may(self, what: str) -> None:
        if what == self._fails:
            raise HarnessFailed(f"can't {what}")


def failing(fails: str) -> tuple[Callable[[World], World], list[Failing]]:
    """Return what gives a world a witness that fails, and where that one will be found."""
    made: list[Failing] = []

    def change(world: World) -> World:
        assert world.witness is not None
        made.append(Failing(world.witness, fails))
        return msgspec.structs.replace(world, witness=made[-1])

    return change, made


def test_the_damaged_agree_and_who_was_not_cut_is_told() -> None:
    """It begins in the load, is heard in the reading, and of an undamaged tenant there is no cut."""
    left = simulate(heard(), SHOP)
    kinds = [e for e in left.history if isinstance(e, PhaseBegan | WitnessBegan | Witnessed)]
    phases = {
        type(entry): next(p.phase for p in reversed(kinds[:n]) if isinstance(p, PhaseBegan))
        for n, entry in enumerate(kinds)
        if not isinstance(entry, PhaseBegan)
    }
    assert phases == {WitnessBegan: "load", Witnessed: "read"}
    verdict = judge(heard(), SHOP, left.history, left.restored)
    assert verdict.verdict == "proven"
    assert [said.said for said in verdict.witness] == ["agrees", "agrees", "not judged"]
    assert verdict.witness[2].words == "it was not restored to before a transaction"
    assert verdict.points_not_judged[1:] == (
        f"the second witness on 1 tenant ({verdict.witness[2].words})",
    )


def test_a_run_folder_holds_what_the_witness_had(tmp_path: Path) -> None:
    """Judged again from its files it is the same."""
    simulate_into(tmp_path, heard(), SHOP)
    assert len(list((tmp_path / "restored").glob("@witness-*.jsonl"))) == 2
    assert check_run(tmp_path) == drill(heard(), SHOP)


def test_tenants_of_one_transaction_are_read_at_one_cut() -> None:
    """A bulk delete of all takes one recovery."""
    reads: list[int] = []

    class Counting(SimulatedWitness):
        """Counts its readings."""

        async def read(self, cut: Cut, tenants: Sequence[str]) -> dict[str, Rows]:
            reads.append(len(tenants))
            return await super().read(cut, tenants)

    def change(world: World) -> World:
        assert isinstance(world.witness, SimulatedWitness)
        world.witness.__class__ = Counting
        return world

    _, verdict = in_world(heard(shop_plan(at_once=True), QUIET, *TENANTS[:2]), change)
    assert {said.said for said in verdict.witness} == {"agrees"}
    assert reads == [3]


def test_a_promoted_standby_goes_on_with_the_same_wal() -> None:
    """What the first primary damaged is read from the WAL of the second one's history."""
    verdict = drill(heard(failover_plan(after_s=1.5, goes_on=True)), SHOP)
    assert verdict.verdict == "proven"
    assert [said.said for said in verdict.witness[:2]] == ["agrees", "agrees"]


def test_a_commit_that_nobody_was_told_of_is_no_cut_to_stop_at() -> None:
    """Its transaction may be in no WAL at all, or its number given to another one by the next primary."""
    plan = msgspec.structs.replace(failover_plan(after_s=0.0, goes_on=True), destroy_after_s=0.003)
    verdict = drill(heard(plan, QUIET, *TENANTS[:2]), SHOP)
    assert verdict.verdict == "proven"
    assert [said.said for said in verdict.witness] == ["not judged", "agrees", "agrees"]
    assert "before which it was restored, committed is not known" in verdict.witness[0].words


def test_what_a_reaper_removes_beside_a_restore_is_held_against_nobody() -> None:
    """The rows read back lack what the witness had."""
    plan = pinned_plan(HELPDESK, kind="reaped", seed=0, profile="simulated", survivors="all")
    verdict = drill(all_heard(plan), HELPDESK)
    assert verdict.verdict == "proven"
    assert [said.words for said in verdict.witness] == ["a reaper removed rows beside the restore", ""]


def test_who_was_given_rows_of_others_is_not_judged() -> None:
    """Their restore leaves out what the witness has."""
    plan = pinned_plan(HELPDESK, kind="rehomed", seed=1, profile="simulated", survivors="all")
    given, giver = drill(all_heard(plan), HELPDESK).witness
    words = "the script gave it rows of others, which its restore leaves out"
    assert (given.said, given.words, giver.said) == ("not judged", words, "agrees")


@pytest.mark.parametrize(
    ("fails", "words"), [("gather", "it could not keep everything: can't gather"), ("read", "can't read")]
)
def test_a_witness_that_can_not_be_heard_is_no_breach_and_no_proof(fails: str, words: str) -> None:
    """The reason is told; asked for and heard of nobody, the drill is unknown. It is ended all the same."""
    change, made = failing(fails)
    _, verdict = in_world(heard(None, *TENANTS[:2]), change)
    assert verdict.verdict == "unknown"
    assert [(said.said, said.words) for said in verdict.witness] == [("not judged", words)] * 2
    assert made[0].ended == 1


def test_a_witness_that_can_not_begin_ends_the_drill_at_once() -> None:
    """Better than to find out at its end that nobody was there."""
    change, made = failing("begin")
    with pytest.raises(HarnessFailed, match="can't begin"):
        in_world(heard(), change)
    assert made[0].ended == 1


def test_a_world_without_one_says_why() -> None:
    """It is in the history, and in the verdict, which is no proof; a plan that names nobody has none."""
    journal, verdict = in_world(
        heard(), lambda world: msgspec.structs.replace(world, witness=None, no_witness="no Barman here")
    )
    (refused,) = [e for e in journal.entries if isinstance(e, WitnessRefused)]
    assert refused.reason == "no Barman here"
    assert verdict.verdict == "unknown"
    assert "the second witness (no Barman here)" in verdict.points_not_judged
    assert {said.words for said in verdict.witness} == {"no Barman here"}
    journal, verdict = in_world(shop_plan(), lambda world: world)
    assert not any(isinstance(e, WitnessBegan | Witnessed | WitnessRefused) for e in journal.entries)
    assert verdict.witness == ()


def test_wal_that_does_not_come_to_the_cut_is_told() -> None:
    """A simulated recovery ends as a real one does."""

    async def main() -> None:
        world = build(shop_plan(), SHOP)
        await world.machinery.prepare(fresh=True)
        assert world.witness is not None
        assert "and the WAL since" in await world.witness.begin()
        await world.witness.gather()
        await world.witness.read(Cut(xid=99), TENANTS)

    with pytest.raises(HarnessFailed, match="recovery ended before it came to transaction 99"):
        run(main())


def test_an_audit_draws_of_whom_it_hears_and_others_do_when_asked() -> None:
    """At most three whom the script damages; none where nothing but the archive survives."""
    for profile, witness in (("audit", False), ("hunt", True), ("hunt", False)):
        for plan in campaign(SHOP, seed=4, plans=3, profile=profile, tenants=5, witness=witness):
            damaged = {t for tx in plan.scripts[0].transactions for t in tx.damaged}
            expected = min(3, len(damaged)) if profile == "audit" or witness else 0
            assert len(plan.witnessed) == (0 if plan.survivors == "archive" else expected)
            assert set(plan.witnessed) <= damaged
            assert plan.witness_needed is (profile != "audit")
    asked = campaign(SHOP, seed=4, plans=1, profile="audit", tenants=5, witness=True)
    assert [plan.witness_needed for plan in asked] == [True]


def test_a_plan_that_hears_of_strangers_or_of_nobody_left_is_refused() -> None:
    """A plan file's names must agree, and a witness needs a primary."""
    for plan, words in (
        (heard(None, "nobody"), "hears a witness of unknown tenants"),
        (heard(shop_plan(survivors="archive")), "which nothing but the archive survives"),
    ):
        with pytest.raises(BadInput, match=words):
            plan_files.decode(plan_files.encode(plan))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(SHOP, profile="simulated", survivors="all"))
def test_the_reference_system_and_the_witness_always_agree(plan: Plan) -> None:
    """Whatever is drawn: nothing is lost where everything survives, so nothing needs an explanation."""
    verdict = drill(all_heard(plan), SHOP)
    assert verdict.verdict == "proven"
    assert {said.said for said in verdict.witness} == {"agrees"}
