"""The zoo on real services: most are the simulator's own classes, at work in a real archiver or restorer.

A defect of the simulator whose parts are the reference's own (archiver, restorer, subject) needs its name
only. What stands for a service there is a setting, or a class of ``targets``, ``stores`` or ``holds`` here;
its name, its words and the checks that must name it are the simulator's all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from harness.model.errors import UnknownName
from harness.model.faults import PauseConnector, RestartConnector
from harness.model.plan import Plan
from harness.power.live import holds, stores, targets
from harness.power.live.plant import ArchiverKind, LiveDefect, Plant
from harness.simulate.defects import defect
from harness.simulate.faulty import RingsForSettling
from harness.simulate.world import Parts
from harness.stack.world.misset import Misset
from harness.subject.port import Subject
from harness.subject.reference.adapters.postgres_target import PostgresTarget
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import ArchiveConfig

SAME: Final = (
    "drops the last segment",
    "loses one row in the middle",
    "restores a neighbour's row",
    "brings back a deleted row",
    "skips a tenant",
    "moves the offset before the write",
    "cuts all at the start of the script",
    "restores the canary too",
    "keeps what was blanked",
    "knows one operator only",
    "reports a watermark that runs ahead",
    "forgets shared rows",
    "throws later rows away",
    "reads the latest entries",
    "believes unsigned entries",
    "folds away by LSN alone",
    "forgets one child table",
    "restores the one before too",
    "names too little",
    "flushes half a transaction",
)
"""Names of those whose parts are the reference's own."""

NO_NEAR: Final = "the setting is either wrong or right"


def _plant(parts: Callable[[], Parts]) -> Callable[[], Plant]:
    """Return the plant of a simulated defect's parts."""

    def plant() -> Plant:
        made = parts()
        return Plant(
            restorer=made.restorer,
            subject=lambda subject, _: made.subject(subject),
            archiver=None if made.archiver is Archiver else lambda _: made.archiver,
        )

    return plant


def _same(name: str) -> LiveDefect:
    known = defect(name)
    return LiveDefect(
        name=name,
        failure_mode=known.failure_mode,
        where=known.where,
        words=known.words,
        caught_by=known.caught_by,
        plant=_plant(known.parts),
        switch=known.switch,
        near_miss=_plant(known.near_miss) if known.near_miss else None,
        near_switch=known.near_words.strip("`"),
    )


def _other(
    name: str,
    plant: Callable[[], Plant],
    switch: str,
    near_miss: Callable[[], Plant] | None = None,
    near_switch: str = f"none: {NO_NEAR}",
    *,
    caught_by: tuple[str, ...] = (),
    profile: str = "",
) -> LiveDefect:
    """Return the simulator's defect of that name, planted in another way here."""
    known = defect(name)
    return LiveDefect(
        name=name,
        failure_mode=known.failure_mode,
        where=known.where,
        words=known.words,
        caught_by=caught_by or known.caught_by,
        plant=plant,
        switch=switch,
        near_miss=near_miss,
        near_switch=near_switch,
        says=known.says,
        profile=profile,
    )


def _target(name: str, kind: type[PostgresTarget], near: type[PostgresTarget]) -> LiveDefect:
    return _other(
        name,
        lambda: Plant(target=kind),
        f"target={kind.__name__}",
        lambda: Plant(target=near),
        f"target={near.__name__}",
    )


def _store(name: str, kind: ArchiverKind, switch: str, near: ArchiverKind | None, words: str) -> LiveDefect:
    near_miss = None if near is None else lambda: Plant(archiver=near)
    return _other(name, lambda: Plant(archiver=kind), f"store={switch}", near_miss, words)


def _misset(settings: Mapping[str, str]) -> Callable[[], Plant]:
    return lambda: Plant(misset=Misset(settings=settings))


def _connector(name: str, settings: Mapping[str, str]) -> LiveDefect:
    """Return a defect that is a setting of the real connector, whose archiver refuses what comes of it."""
    words = ", ".join(f"{key}={value}" for key, value in settings.items())
    return _other(
        name,
        _misset(settings),
        f"{words}; the archiver stops at the first such value",
        near_switch=f"none: {NO_NEAR}",
        caught_by=("exposure", "restored"),
    )


def _paused(plan: Plan) -> Plan:
    """Have nothing come from the connector for a while."""
    return replace(plan, faults=(PauseConnector(phase="write", after_s=1.0, down_s=4.0),))


def _restarted(plan: Plan) -> Plan:
    """Have the connector go on in the midst of transactions, again and again."""
    times = (RestartConnector(phase="write", after_s=after_s, down_s=0.5) for after_s in (1.0, 4.0, 7.0))
    return replace(plan, faults=tuple(times))


def _overwritten(plan: Plan) -> Plan:
    """Have all objects overwritten before the restores."""
    return replace(plan, attacks=defect("pins only keys").attacks)


DEFAULTS: Final = {f"{part}.converter.replace.null.with.default": "true" for part in ("key", "value")}


def _rings(subject: Subject, config: ArchiveConfig) -> Subject:
    return RingsForSettling(subject, bell=stores.FileBell(config))


ZOO: Final = (
    *map(_same, SAME),
    replace(_same("restores only what was deleted"), kind="orphans"),
    replace(_same("truncates before the cut"), kind="truncated"),
    replace(_same("drops before the cut"), kind="dropped"),
    replace(_same("pins only keys"), changed=_overwritten, hint="each object is overwritten"),
    replace(
        _same("falls asleep"), changed=_paused, hint="the connector is paused for 4 s", profile="storm"
    ),
    _other(
        "flushes only when asked",
        lambda: Plant(archiver=stores.flushes_when_asked, subject=_rings),
        "archiver=FlushesWhenAsked, its bell a file, subject=RingsForSettling",
        _plant(defect("flushes only when asked").near_miss or Parts),
        defect("flushes only when asked").near_words.strip("`"),
    ),
    _target("resets sequences", targets.ResetsSequences, targets.SetsSequencesFarAhead),
    _target("fires triggers", targets.FiresTriggers, targets.LooksAtTriggers),
    _target("leaves triggers disabled", targets.LeavesTriggersDisabled, targets.EnablesTriggersAgain),
    _target("overwrites shared rows", targets.BlanksSharedRows, targets.WritesSharedRowsAgain),
    _target("locks whole tables", targets.LocksWholeTables, targets.LooksAtWholeTables),
    _store(
        "leaves segments unlocked",
        stores.leaves_unlocked,
        "LeavesSegmentsUnlocked",
        stores.locks_and_looks,
        "store=LocksAndLooks",
    ),
    _store(
        "answers before it has stored",
        stores.answers_too_soon,
        "AnswersTooSoon",
        None,
        "none: a server that answers late is the fault *slow store*",
    ),
    _connector("sends numerics as doubles", {"decimal.handling.mode": "double"}),
    _connector("sends months as days", {"interval.handling.mode": "numeric"}),
    _other(
        "passes over NULLs",
        lambda: Plant(misset=Misset(database=holds.PassesOverNulls)),
        "database=PassesOverNulls",
        lambda: Plant(misset=Misset(database=holds.ReadsColumnsInAnyOrder)),
        "database=ReadsColumnsInAnyOrder",
    ),
    _other(
        "reads rows twice",
        lambda: Plant(misset=Misset(database=holds.ReadsRowsTwice)),
        "database=ReadsRowsTwice",
        lambda: Plant(misset=Misset(database=holds.ReadsColumnsInAnyOrder)),
        "database=ReadsColumnsInAnyOrder",
    ),
    _other(
        "tells defaults for NULLs",
        lambda: Plant(misset=Misset(settings=DEFAULTS, schema_sql=holds.defaults_for_texts)),
        "replace.null.with.default=true, where a nullable column has a default",
        lambda: Plant(misset=Misset(schema_sql=holds.defaults_for_texts)),
        "the same columns, and replace.null.with.default=false",
    ),
    replace(
        _other(
            "loses an acked write in a failover",
            lambda: Plant(misset=Misset(captured=holds.unsynchronized)),
            f"synchronous_commit=local for the application, the standby {holds.FAR_MS} ms away",
            lambda: Plant(misset=Misset(captured=holds.far_standby)),
            "the standby as far away, and commits wait for it",
        ),
        survivors="standby",
    ),
    _other(
        "nobody looks at the script",
        lambda: Plant(misset=Misset(database=holds.ScriptsUnseen)),
        "database=ScriptsUnseen",
        near_switch="none: one either looks or does not",
        profile="quick",
    ),
    _other(
        "faults never bite",
        lambda: Plant(misset=Misset(seen=holds.never_seen)),
        "machinery: no proof is taken for one",
        lambda: Plant(misset=Misset(seen=holds.seen_twice)),
        "machinery: each proof is told twice",
        profile="quick",
    ),
    replace(
        _other(
            "loses a batch after a restart",
            lambda: Plant(programs="debezium-3.6.1"),
            "Debezium 3.6.1 in place of 3.7.0",
            near_switch="none: Debezium 3.7.0, mended, is the reference",
        ),
        changed=_restarted,
        hint="the connector is restarted three times",
        profile="storm",
    ),
    LiveDefect(
        name="skips deletes",
        failure_mode="FM-44",
        where="capture",
        words="deletions are left out of the feed, as a list of skipped operations has it",
        caught_by=("resurrection",),
        plant=_misset({"skipped.operations": "d"}),
        switch="skipped.operations=d",
        near_switch=f"none: {NO_NEAR}",
    ),
)
"""All of them, in the order in which they are tried."""


def live_defect(name: str) -> LiveDefect:
    """Return the defect of that name; raises UnknownName."""
    found = {one.name: one for one in ZOO}
    if name not in found:
        raise UnknownName("defect on real services", name, list(found))
    return found[name]


def planted(name: str, *, near: bool) -> Plant:
    """Return what a defect, or its near miss, replaces; raises UnknownName."""
    one = live_defect(name)
    if not near:
        return one.plant()
    return one.near_miss() if one.near_miss else Plant()
