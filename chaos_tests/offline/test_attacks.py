"""Attacks on the archive: as values, as they are made, and that none changes what a restore reads."""

from __future__ import annotations

from collections.abc import Awaitable
from random import Random
from typing import cast, get_args

import msgspec
import pytest

from fixtures.handmade import shop_plan
from harness import schemas
from harness.drive.attacker import PERFORM, Attacker
from harness.drive.forgery import MEANINGLESS, forge, newest_numbered, next_name
from harness.drive.ports import Answer, ObjectVersion
from harness.generate import campaign
from harness.generate.attacks import LATEST_S, WEIGHTS
from harness.model import plan as plans
from harness.model.attacks import Attack, AttackKind, Moment
from harness.model.errors import BadInput
from harness.model.history import Attacked, LocksSeen, NeedsNamed
from harness.model.plan import Plan, Survivors
from harness.model.position import Position
from harness.simulate import drill, simulate
from harness.simulate.archive_ports import MemoryStore
from harness.simulate.intruder import SimulatedIntruder
from harness.simulate.latency import Latency
from harness.simulate.loop import run
from harness.subject.reference.format import (
    FeedMark,
    ManifestEntry,
    SchemaRef,
    decode_entry,
    encode_entry,
)

SHOP = schemas.load("shop").schema
KINDS: tuple[AttackKind, ...] = get_args(AttackKind)
MUST_BE_REFUSED = {"delete", "bypass", "shorten, COMPLIANCE", "shorten, GOVERNANCE", "suspend versioning"}


def attacked(*attacks: Attack, survivors: Survivors = "all") -> Plan:
    """Return a plan under these attacks."""
    return msgspec.structs.replace(shop_plan(survivors=survivors, destroy_after_s=0.4), attacks=attacks)


@pytest.mark.parametrize("moment", get_args(Moment))
@pytest.mark.parametrize("kind", KINDS)
def test_no_attack_changes_what_a_restore_reads(kind: AttackKind, moment: Moment) -> None:
    """Refused or done, everybody is proven, and what must be refused is."""
    rng = Random(f"{kind} {moment}")
    survivors: Survivors = rng.choice(("all", "archive"))
    aims = tuple(rng.sample(range(1000), 5))
    plan = attacked(
        Attack(kind=kind, moment=moment, after_s=rng.uniform(0, LATEST_S[moment]), aims=aims),
        survivors=survivors,
    )
    acts = [entry for entry in simulate(plan, SHOP).history if isinstance(entry, Attacked)]
    assert acts
    assert all(act.refused == (act.act in MUST_BE_REFUSED) for act in acts)
    verdict = drill(plan, SHOP)
    assert verdict.verdict == "proven"
    assert "7 untampered" in verdict.points_judged


def test_all_attacks_at_once_change_nothing() -> None:
    """Also one after the other, on the same names."""
    both: tuple[Moment, ...] = ("write", "restore")
    attacks = [
        Attack(kind=kind, moment=moment, after_s=0.3 * number, aims=(0, 250, 500, 750, 999))
        for moment in both
        for number, kind in enumerate(KINDS)
    ]
    assert drill(attacked(*attacks), SHOP).verdict == "proven"


def test_the_subject_names_its_needs_before_each_attack() -> None:
    """So that what took an object's place shows."""
    history = simulate(attacked(Attack(kind="overwrite", moment="write", aims=(0,))), SHOP).history
    named = [e.at_s for e in history if isinstance(e, NeedsNamed)]
    (act,) = [e.at_s for e in history if isinstance(e, Attacked)]
    assert named[0] < act < named[1]


def test_the_locks_of_all_that_restores_need_are_looked_at() -> None:
    """Whether there is an attack or not (FM-89)."""
    history = simulate(shop_plan(), SHOP).history
    (named,) = [e for e in history if isinstance(e, NeedsNamed)]
    (seen,) = [e for e in history if isinstance(e, LocksSeen)]
    assert {(lock.key, lock.version) for lock in seen.locks} == {o for n in named.needs for o in n.objects}


def test_each_kind_of_attack_can_be_drawn_and_performed() -> None:
    """The tables of weights and of performances hold all kinds."""
    assert set(KINDS) == set(PERFORM) == set(WEIGHTS)


def test_a_storm_attacks_and_a_quick_campaign_does_not() -> None:
    """Some of its plans, with each moment among them."""
    storm = campaign(SHOP, seed=11, plans=12, profile="storm", tenants=2)
    drawn = [attack for plan in storm for attack in plan.attacks]
    assert {attack.moment for attack in drawn} == set(get_args(Moment))
    assert len({attack.kind for attack in drawn}) >= 5
    assert not any(plan.attacks for plan in campaign(SHOP, seed=11, plans=3, tenants=2))


def test_an_attack_of_an_unknown_kind_is_refused_by_name() -> None:
    """A plan file is checked field by field."""
    text = plans.encode(attacked(Attack(kind="overwrite", moment="write")))
    with pytest.raises(BadInput, match="kind"):
        plans.decode(text.replace(b'"overwrite"', b'"oversleep"'))


def test_names_are_guessed_by_their_last_part() -> None:
    """Only a name whose last part is a number has a next one."""
    assert (
        newest_numbered(["man/000000000009", "man/000000000010", "seg/1/12-99", "9"]) == "man/000000000010"
    )
    assert newest_numbered(["seg/1/12-99", "schema/1.sql"]) is None
    assert next_name("man/0010") == "man/0011"
    assert next_name("9") == "10"


def test_a_bucket_without_numbered_names_leaves_nothing_to_guess() -> None:
    """The act is journalled as what it is: there was nothing to do."""
    acts: list[tuple[str, Answer]] = []

    class Alone:
        intruder = SimulatedIntruder(MemoryStore(), Latency(1))

    async def act(words: str, at: ObjectVersion, doing: Awaitable[Answer]) -> Answer:
        assert not at.key
        acts.append((words, await doing))
        return acts[-1][1]

    async def main() -> None:
        attack = Attack(kind="plant next key", moment="write")
        await PERFORM[attack.kind](cast("Attacker", Alone()), attack, act)

    run(main())
    ((words, answer),) = acts
    assert (words, answer.refused) == ("look", True)


@pytest.mark.parametrize("body", [b"no entry", b"{}", b'{"end":{"epoch":1,"lsn":2},"seq":"x"}'])
def test_what_is_no_entry_is_forged_by_changing_it(body: bytes) -> None:
    """Also against somebody else's format."""
    assert forge(body, ["a"]) == body + MEANINGLESS


def test_a_forged_entry_is_well_formed_and_follows() -> None:
    """It would empty every table, if anybody believed it."""
    last = _an_entry()
    forged = decode_entry(forge(last, ["shop.line"]), key="")
    assert forged.seq == 2
    assert [(found.kind, found.table) for found in forged.globals] == [("truncate", "shop.line")]
    assert forged.start == decode_entry(last, key="").end < forged.end
    assert forged.signature is None
    assert forged.segment is None


def _an_entry() -> bytes:
    return encode_entry(
        ManifestEntry(
            seq=1,
            prev=None,
            start=None,
            end=Position(epoch=1, lsn=10),
            segment=None,
            feed=FeedMark(feed="f", next_offset=1),
            db_schema=SchemaRef(number=1, key="schema/1", version="v", sha256="0"),
            epochs=(),
            signature="x",
        )
    )
