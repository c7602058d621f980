"""Traps of concurrency in simulated drills: the oracle meets them, and who is right is proven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from fixtures.handmade import MEETING, MEETINGS, STRADDLING, meeting_plan, straddled_plan
from harness import schemas
from harness.generate.campaigns import campaign
from harness.judge import judge
from harness.model.history import AnyEntry, Destroyed, Done, RestoreBegan, Sent
from harness.model.plan import Plan
from harness.power.benches import Simulated
from harness.simulate import drill, simulate

SHOP, HELPDESK = schemas.load("shop").schema, schemas.load("helpdesk").schema
PLANS = 24


def straddlers(plan: Plan, history: Sequence[AnyEntry]) -> Iterator[Done]:
    """Yield the outcomes of what was held open while a transaction of the script was committed."""
    held = {tx.name for t in plan.tenants for writer in t.writers for tx in writer if tx.hold_s}
    done = [entry for entry in history if isinstance(entry, Done)]
    scripts_s = [one.at_s for one in done if one.actor == "script" and one.outcome == "acked"]
    for one in done:
        if one.name in held and any((one.begun_s or one.at_s) < at_s < one.at_s for at_s in scripts_s):
            yield one


def identities_left_open(history: Sequence[AnyEntry]) -> int:
    """Return how many rows with an id from the database lie in transactions of unknown outcome."""
    given = {t.name for t in HELPDESK.tables for c in t.columns if c.given_by == "identity"}
    left_open = {e.name for e in history if isinstance(e, Done) and e.outcome == "unknown"}
    sent = (e for e in history if isinstance(e, Sent) and e.actor == "writer" and e.name in left_open)
    return sum(change.op == "insert" and change.table in given for e in sent for change in e.changes)


def side_by_side(plan: Plan, history: Sequence[AnyEntry]) -> int:
    """Return how many acknowledged transactions of one tenant's writers ran beside one of another's."""
    writer_of = {
        tx.name: (t.tenant, number) for t in plan.tenants for number, w in enumerate(t.writers) for tx in w
    }
    last: dict[str, tuple[int, float]] = {}
    found = 0
    acked = (e for e in history if isinstance(e, Done) and e.outcome == "acked" and e.name in writer_of)
    for done in acked:
        tenant, writer = writer_of[done.name]
        other, until_s = last.get(tenant, (writer, 0.0))
        found += other != writer and (done.begun_s or done.at_s) < until_s
        last[tenant] = (writer, done.at_s)
    return found


def test_what_straddled_the_damage_lies_after_the_cut_and_is_set_aside() -> None:
    """It has an older id than the damage, and was committed after it: a neighbour's stays, its own goes."""
    plan = straddled_plan()
    history = simulate(plan, SHOP).history
    cut = next(e.cut for e in history if isinstance(e, RestoreBegan) and e.tenant == STRADDLING[0])
    acked = {one.name for one in straddlers(plan, history) if one.outcome == "acked"}
    sent = [e for e in history if isinstance(e, Sent) and e.name in acked]
    assert {e.tenant for e in sent if e.xid < cut.xid and e.lsn_lower >= cut.lsn_upper} == {*STRADDLING}
    verdict = drill(plan, SHOP)
    assert (verdict.verdict, verdict.findings) == ("proven", ())


def test_what_is_open_when_everything_is_destroyed_left_nothing() -> None:
    """Its COMMIT was never sent: no restored state has it, and nobody asks for it."""
    plan = msgspec.structs.replace(straddled_plan(), survivors="archive", destroy_after_s=0.3)
    history = simulate(plan, SHOP).history
    held = {tx.name for t in plan.tenants for writer in t.writers for tx in writer if tx.hold_s}
    destroyed_s = next(e.at_s for e in history if isinstance(e, Destroyed))
    ended = [e for e in history if isinstance(e, Done) and e.name in held and e.at_s >= destroyed_s]
    left = [e for e in ended if e.begun_s is not None and e.begun_s < destroyed_s]
    assert [(e.outcome, e.lost) for e in left] == [("refused", True)] * len(STRADDLING)
    assert drill(plan, SHOP).verdict == "proven"


def conflicts(plan: Plan, history: Sequence[AnyEntry]) -> list[str]:
    """Return which serializable transactions conflicted, and were acknowledged in the end."""
    ours = {tx.name for t in plan.tenants for writer in t.writers for tx in writer if tx.serializable}
    tries: dict[str, list[Done]] = {}
    for done in (e for e in history if isinstance(e, Done) and e.name in ours):
        tries.setdefault(done.name, []).append(done)
    return [name for name, of in tries.items() if of[0].conflicted and of[-1].outcome == "acked"]


def test_of_two_that_meet_one_is_refused_and_gets_through_when_tried_again() -> None:
    """Each try has its own id; what the refused one did is nowhere, and nobody takes it for a loss."""
    plan = meeting_plan()
    history = simulate(plan, SHOP).history
    met = conflicts(plan, history)
    assert len(met) == len(MEETINGS)
    for name in met:
        tries = [e for e in history if isinstance(e, Done | Sent) and e.name == name]
        assert [type(e) for e in tries] == [Done, Sent, Done]
        refused, sent, acked = tries
        assert isinstance(refused, Done)
        assert isinstance(sent, Sent)
        assert isinstance(acked, Done)
        assert (refused.outcome, refused.tenant, acked.outcome) == ("refused", MEETING, "acked")
        assert refused.at_s < sent.begun_s
    verdict = drill(plan, SHOP)
    assert (verdict.verdict, verdict.findings) == ("proven", ())


def test_a_campaign_meets_every_trap_and_breaks_at_none() -> None:
    """Writers of one tenant side by side, ids in commits left open, what straddles, and what conflicts."""
    met: Counter[str] = Counter()
    unavailable = Simulated().unavailable
    for plan in campaign(HELPDESK, seed=9, plans=PLANS, profile="hunt", unavailable=unavailable):
        left = simulate(plan, HELPDESK)
        assert judge(plan, HELPDESK, left.history, left.restored).verdict != "broken"
        met["straddles the incident"] += len([*straddlers(plan, left.history)])
        met["identity left open"] += identities_left_open(left.history)
        met["tried again"] += len(conflicts(plan, left.history))
        met["side by side"] += side_by_side(plan, left.history)
    assert all(met.values()), met
