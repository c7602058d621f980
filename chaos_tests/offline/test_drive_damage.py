"""Who is damaged, and where to cut, follows from what script transactions can have done once sent."""

from __future__ import annotations

import msgspec
import pytest

from fixtures.handmade import TABLES, shop_plan
from harness.drive.bindings import RowName
from harness.drive.damage import Damage, unintended
from harness.drive.restores import assign
from harness.model.history import Change, Cut, Done, Outcome, Sent, Sight
from harness.model.plan import Effect, ScriptTransaction
from harness.model.values import image_of, row_key

ACME, GLOBEX, INITECH, HOOLI = "acme-1", "globex-2", "initech-3", "hooli-5"


def removal(tenant: str) -> Effect:
    """Return the removal of a whole tenant."""
    return Effect(tenant=tenant, mode="permanent", tables=TABLES)


def leaf(tenant: str) -> Effect:
    """Return what the loss of a partition may do to one tenant."""
    return Effect(tenant=tenant, mode="detach", tables=TABLES[:1], leaf=0)


def script(name: str, actual: tuple[Effect, ...], intended: tuple[Effect, ...] = ()) -> ScriptTransaction:
    """Return a script transaction with these effects."""
    return ScriptTransaction(name=name, statements=(), intended=intended, actual=actual)


def sent(name: str, xid: int, changes: tuple[Change, ...] = ()) -> Sent:
    """Return the entry of a COMMIT about to be sent."""
    return Sent(
        at_s=1.0,
        name=name,
        actor="script",
        tenant=None,
        cluster=1,
        xid=xid,
        begun_s=0.5,
        lsn_lower=xid * 10,
        changes=changes,
    )


def done(name: str, outcome: Outcome, lsn: int | None = None) -> Done:
    """Return the entry of an outcome."""
    return Done(at_s=2.0, name=name, actor="script", tenant=None, outcome=outcome, lsn_upper=lsn)


def rows_of(effect: Effect) -> set[RowName]:
    """Say that each tenant has one row in each table, with its own id as the key."""
    return {(table, (effect.tenant,)) for table in effect.tables}


def nobody_removes(_: str) -> dict[str, frozenset[RowName]]:
    """Say that no transaction of a tenant waits for its answer."""
    return {}


def after(*steps: tuple[ScriptTransaction, Outcome]) -> Damage:
    """Return the damage after these transactions; their xids are 1, 2, ..."""
    damage = Damage(rows_of, nobody_removes)
    for xid, (transaction, outcome) in enumerate(steps, 1):
        damage.sent(transaction, sent(transaction.name, xid))
        damage.done(
            transaction, done(transaction.name, outcome, xid * 10 + 5 if outcome == "acked" else None)
        )
    return damage


def test_what_was_intended_is_no_damage() -> None:
    """A removal that was meant deletes rightly; one of somebody else damages."""
    both = script("s", (removal(ACME), removal(GLOBEX)), intended=(removal(ACME),))
    damage = after((both, "acked"))
    assert set(damage.damaged) == {GLOBEX}
    assert set(damage.deleted) == {ACME}


def test_part_of_what_was_intended_is_no_damage() -> None:
    """Removing some rows of a tenant that was to be removed goes beyond nothing; another mode does."""
    some = Effect(tenant=ACME, mode="permanent", tables=TABLES[:1], keys=(("k",),))
    assert unintended(script("s", (some,), intended=(removal(ACME),))) == ()
    marked = msgspec.structs.replace(some, mode="mark", mark_column="since")
    assert unintended(script("s", (some,), intended=(marked,))) == (some,)


def test_the_first_damaging_transaction_counts() -> None:
    """A tenant that two transactions hit is cut before the first of them."""
    first = Effect(tenant=ACME, mode="permanent", tables=TABLES[:1], keys=((ACME,),))
    damage = after((script("a", (first,)), "acked"), (script("b", (removal(ACME),)), "acked"))
    assert damage.damaged[ACME].sent.xid == 1


def test_a_refused_transaction_damages_nobody() -> None:
    """What the database refused to commit did nothing; the next one is the first."""
    damage = after((script("a", (removal(ACME),)), "refused"), (script("b", (removal(ACME),)), "acked"))
    assert damage.damaged[ACME].sent.name == "b"


def test_an_unknown_outcome_damages_and_has_no_upper_bound() -> None:
    """Once COMMIT was sent the tenant has to be restored, whether it took effect or not."""
    damage = after((script("a", (removal(ACME),)), "unknown"))
    plan = shop_plan(survivors="archive")
    cut = next(a.cut for a in assign(plan, damage, {1: 3}) if a.tenant == ACME)
    assert cut == Cut(epoch=3, xid=1, lsn_lower=10, lsn_upper=0)


def detached(left: dict[str, tuple[tuple[str, ...], ...]]) -> Damage:
    """Return the damage after a partition went, with what was seen left of each tenant's first table."""
    effects = tuple(Effect(tenant=t, mode="detach", tables=TABLES[:1], leaf=0) for t in (ACME, GLOBEX))
    damage, transaction = Damage(rows_of, nobody_removes), script("d", effects)
    sight = Sight(left={t: {TABLES[0]: keys} for t, keys in left.items()}, deleted={}, updated={})
    damage.sent(transaction, msgspec.structs.replace(sent("d", 1), sight=sight))
    damage.done(transaction, done("d", "acked", 15))
    return damage


def test_a_partition_damages_whose_rows_were_seen_gone() -> None:
    """Which rows it held only the database knows."""
    assert set(detached({ACME: (), GLOBEX: ((GLOBEX,),)}).damaged) == {ACME}
    effects = (Effect(tenant=ACME, mode="detach", tables=TABLES[:1], leaf=0),)
    assert after((script("d", effects), "acked")).damaged == {}


@pytest.mark.parametrize(
    ("before", "after", "hit"), [(1, 0, False), (0, 1, True), (1, 1, True), (0, 0, False)]
)
def test_a_partition_damages_by_what_its_writers_are_known_to_have_done_since(
    before: int, after: int, hit: bool
) -> None:
    """It waited for them: a row of theirs may have been gone or come without an answer to its COMMIT."""
    effects = (Effect(tenant=ACME, mode="detach", tables=TABLES[:1], leaf=0),)
    known = {(TABLES[0], (str(number),)) for number in range(before)}
    damage, transaction = Damage(lambda _: known, nobody_removes), script("d", effects)
    sight = Sight(left={ACME: {TABLES[0]: ()}}, deleted={}, updated={})
    assert damage.sent(transaction, msgspec.structs.replace(sent("d", 1), sight=sight)) == bool(before)
    known.clear()
    known.update((TABLES[0], (str(number),)) for number in range(after))
    damage.done(transaction, done("d", "acked", 15))
    assert (ACME in damage.damaged) == hit


@pytest.mark.parametrize(("committed", "hit"), [({"w"}, False), (set(), True)])
def test_a_row_that_its_tenant_removed_did_not_go_with_the_partition(
    committed: set[str], hit: bool
) -> None:
    """The ack of that COMMIT came only after the script's own; a later hit counts then."""
    row = (TABLES[0], (ACME,))
    damage, gone = (
        Damage(rows_of, lambda _: {"w": frozenset({row})}),
        script("d", (leaf(ACME), leaf(HOOLI))),
    )
    sight = Sight(left={ACME: {}, HOOLI: {}}, deleted={}, updated={})
    damage.sent(gone, msgspec.structs.replace(sent("d", 1), sight=sight))
    damage.done(gone, done("d", "acked", 15))
    assert {tenant: h.sent.name for tenant, h in damage.damaged.items()} == {ACME: "d", HOOLI: "d"}
    later = script("e", (removal(ACME),))
    assert not damage.sent(later, sent("e", 2))
    damage.done(later, done("e", "acked", 25))
    damage.learn(lambda name: name in committed)
    found = {tenant: h.sent.name for tenant, h in damage.damaged.items()}
    assert found == {ACME: "d" if hit else "e", HOOLI: "d"}


def test_a_partition_takes_back_no_other_damage_of_its_transaction() -> None:
    """It held nothing of a tenant; the same transaction removed another one."""
    damage, both = Damage(rows_of, nobody_removes), script("d", (leaf(ACME), removal(GLOBEX)))
    sight = Sight(left={ACME: {TABLES[0]: ((ACME,),)}, GLOBEX: {}}, deleted={}, updated={})
    damage.sent(both, msgspec.structs.replace(sent("d", 1), sight=sight))
    damage.done(both, done("d", "acked", 15))
    assert set(damage.damaged) == {GLOBEX}


def test_a_drop_damages_whoever_has_rows_there() -> None:
    """Also through rows that were not yet known when it was sent: it waited for their writers."""
    dropped = script("d", (Effect(tenant=ACME, mode="drop", tables=TABLES[:1]),))
    assert set(after((dropped, "acked")).damaged) == {ACME}
    known: set[RowName] = set()
    damage = Damage(lambda _: known, nobody_removes)
    damage.sent(dropped, sent("d", 1))
    known.add((TABLES[0], (ACME,)))
    damage.done(dropped, done("d", "acked", 15))
    assert set(damage.damaged) == {ACME}


def test_a_rerun_finds_nothing_left_to_damage() -> None:
    """Who was rightly deleted can't be damaged by a second run."""
    right = script("a", (removal(ACME),), intended=(removal(ACME),))
    damage = after((right, "acked"), (script("b", (removal(ACME),)), "acked"))
    assert damage.damaged == {}


def test_a_mark_damages_whom_it_was_seen_to_mark() -> None:
    """A mark is damage only where the new image of a row of that tenant was seen."""
    marks = tuple(
        Effect(tenant=t, mode="mark", tables=TABLES[:1], mark_column="since") for t in (ACME, GLOBEX)
    )
    damage = Damage(rows_of, nobody_removes)
    seen = Change(op="update", key=row_key(TABLES[0], (ACME,)), row=image_of({"code": ACME}))
    assert damage.sent(script("s", marks), sent("s", 1, (seen,)))
    assert set(damage.damaged) == {ACME}


def test_every_tenant_is_restored_once_in_its_place() -> None:
    """Damaged in place, untouched and rightly deleted ones beside; all in place but the deleted when
    only the archive is left.
    """
    mistake = script("s", (removal(ACME), removal(GLOBEX)), intended=(removal(GLOBEX),))
    damage = after((mistake, "acked"))
    for survivors, untouched in (("all", "scratch"), ("archive", "live")):
        plan = shop_plan(survivors="archive" if survivors == "archive" else "all")
        places = {a.tenant: a.place for a in assign(plan, damage, {1: 1})}
        assert len(places) == len(plan.tenants)
        assert places[ACME] == "live"
        assert places[GLOBEX] == "scratch"
        assert {places[INITECH], places[HOOLI]} == {untouched}


def test_untouched_tenants_are_cut_at_the_end_of_the_archive() -> None:
    """Without a transaction that hit it, a tenant gets everything back that is there."""
    damage = after((script("s", (removal(ACME),)), "acked"))
    cuts = {a.tenant: a.cut for a in assign(shop_plan(), damage, {1: 2})}
    assert cuts[HOOLI] == Cut()
    assert cuts[ACME] == Cut(epoch=2, xid=1, lsn_lower=10, lsn_upper=15)


def test_a_truncate_hits_those_whose_rows_were_not_yet_known() -> None:
    """A row committed before, and acknowledged only while the TRUNCATE ran, went with its table."""
    known: set[str] = {ACME}
    damage = Damage(lambda effect: rows_of(effect) if effect.tenant in known else set(), nobody_removes)
    emptied = tuple(Effect(tenant=t, mode="truncate", tables=TABLES[-1:]) for t in (ACME, GLOBEX, HOOLI))
    transaction = script("script.0", emptied)
    assert damage.sent(transaction, sent("script.0", 1))
    assert set(damage.damaged) == {ACME}
    known.add(GLOBEX)
    damage.done(transaction, done("script.0", "acked", 15))
    assert set(damage.damaged) == {ACME, GLOBEX}
    assert damage.damaged[GLOBEX].done == damage.damaged[ACME].done


def test_a_refused_truncate_hits_nobody() -> None:
    """Nothing of a refused transaction stays, so nobody is damaged."""
    emptied = (Effect(tenant=ACME, mode="truncate", tables=TABLES),)
    assert after((script("script.0", emptied), "refused")).damaged == {}


def test_blanks_damage_whoever_has_rows_there() -> None:
    """A blanked row is there still, and damaged."""
    blank = (Effect(tenant=ACME, mode="blank", tables=("shop.line",), columns=("photo",)),)
    assert set(after((script("script.0", blank), "acked")).damaged) == {ACME}
