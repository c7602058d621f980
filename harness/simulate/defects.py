"""The planted defects: backup systems that are wrong in one decision, and the check that must say so.

Each is the reference system with one class replaced by a subclass, or a wrapper around the subject's port,
so that the very same defect runs in the simulator and on the real stack. A *near miss* looks like its
defect and is harmless: it must be proven, or the check would only be strict, not right.

A defect more is a class here, or in ``faulty``, and one entry in the table.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from harness.model.attacks import Attack
from harness.model.layers import Layer
from harness.model.watermarks import WatermarkCheck
from harness.simulate import faulty, forked, gaps, misled, movers, reshaped, tampered
from harness.simulate.world import Parts


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """A backup system that is wrong. ``caught_by``: names of checks, each of which must find it.

    ``where`` it sits, which blame has to name. ``parts`` makes it anew for each drill. ``failure_mode`` is
    its number in the catalogue of failure modes. ``near_miss`` looks like it and must be proven, None where
    nothing of the kind exists. ``step``: the kind of script in which it shows itself, in the plan of that
    ``seed``; None: any. ``attacks`` on the archive under which it shows itself, and ``watermark_checks``
    that must see it.
    """

    name: str
    failure_mode: str
    where: Layer
    words: str
    caught_by: tuple[str, ...]
    parts: Callable[[], Parts]
    near_miss: Callable[[], Parts] | None = None
    step: str | None = None
    seed: int = 0
    attacks: tuple[Attack, ...] = ()
    watermark_checks: tuple[WatermarkCheck, ...] = ()


EVERYWHERE = tuple(range(0, 1000, 20))
"""Aims at everything in the bucket of a short drill."""

DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="drops the last segment",
        failure_mode="FM-93",
        where="restorer",
        words="the restorer stops one segment short of the cut",
        caught_by=("honest",),
        parts=lambda: Parts(restorer=faulty.DropsLastSegment),
        near_miss=lambda: Parts(restorer=faulty.DropsEmptyEntries),
    ),
    Defect(
        name="loses one row in the middle",
        failure_mode="FM-99",
        where="restorer",
        words="the restorer leaves one row of each tenant out",
        caught_by=("prefix",),
        parts=lambda: Parts(restorer=faulty.LosesRowInTheMiddle),
    ),
    Defect(
        name="restores a neighbour's row",
        failure_mode="FM-95",
        where="restorer",
        words="the restorer mixes a row of the tenant before into the next one's",
        caught_by=("nothing else",),
        parts=lambda: Parts(restorer=faulty.RestoresNeighboursRow),
        near_miss=lambda: Parts(restorer=faulty.ReadsNeighboursRows),
    ),
    Defect(
        name="brings back a deleted row",
        failure_mode="FM-98",
        where="restorer",
        words="the restorer forgets one deletion for good reason",
        caught_by=("resurrection",),
        parts=lambda: Parts(restorer=faulty.BringsBackDeletedRow),
    ),
    Defect(
        name="skips a tenant",
        failure_mode="FM-42",
        where="archiver",
        words="the archiver drops all that one tenant writes",
        caught_by=("restored",),
        parts=lambda: Parts(archiver=faulty.SkipsTenant),
    ),
    Defect(
        name="moves the offset before the write",
        failure_mode="FM-83",
        where="archiver",
        words="the archiver moves the offset one flush ahead of its writes; a kill makes a hole",
        caught_by=("honest",),
        parts=lambda: Parts(archiver=faulty.MovesOffsetFirst),
    ),
    Defect(
        name="cuts all at the start of the script",
        failure_mode="FM-10",
        where="restorer",
        words="each tenant is cut where the first one was damaged",
        caught_by=("loss",),
        parts=lambda: Parts(subject=faulty.CutsAllAtTheStart),
    ),
    Defect(
        name="flushes only when asked",
        failure_mode="FM-94",
        where="archiver",
        words="the archiver keeps all in its buffer until a restore asks for it",
        caught_by=("exposure",),
        parts=faulty.flushes_when_asked,
        near_miss=lambda: Parts(archiver=faulty.FlushesLater),
    ),
    Defect(
        name="falls asleep",
        failure_mode="FM-49",
        where="archiver",
        words="the archiver archives nothing any more once nothing came for a while",
        caught_by=("loss", "exposure"),
        parts=lambda: Parts(archiver=faulty.FallsAsleep),
    ),
    Defect(
        name="never says that it is breached",
        failure_mode="FM-71",
        where="archiver",
        words="the system calls itself behind, however long nothing was archived",
        caught_by=("breach",),
        parts=lambda: Parts(subject=faulty.NeverBreached),
        near_miss=lambda: Parts(subject=faulty.BreachedSoon),
    ),
    Defect(
        name="restores the canary too",
        failure_mode="FM-3",
        where="restorer",
        words="tenants that were rightly deleted come back into the live database",
        caught_by=("live rows",),
        parts=lambda: Parts(subject=misled.RestoresTheCanary),
        near_miss=lambda: Parts(subject=misled.RestoresTheCanaryTwice),
        step="canary",
    ),
    Defect(
        name="keeps what was blanked",
        failure_mode="FM-93",
        where="restorer",
        words="the restorer cuts just after the damaging transaction: its NULLs come back",
        caught_by=("nothing else",),
        parts=lambda: Parts(subject=misled.CutsJustAfter),
        near_miss=lambda: Parts(subject=misled.CutsAtTheLowerBound),
        step="blanked",
    ),
    Defect(
        name="restores only what was deleted",
        failure_mode="FM-6",
        where="restorer",
        words="the restorer brings back the tables that lost rows, and forgets the orphans in the others",
        caught_by=("honest", "loss"),
        parts=lambda: Parts(restorer=misled.RestoresOnlyWhatWasDeleted),
        near_miss=lambda: Parts(restorer=misled.RestoresWhatWasDeletedFirst),
        step="orphans",
    ),
    Defect(
        name="truncates before the cut",
        failure_mode="FM-7",
        where="restorer",
        words="the restorer applies every TRUNCATE in the archive, whatever the cut",
        caught_by=("honest", "loss"),
        parts=lambda: Parts(restorer=misled.TruncatesBeforeTheCut),
        near_miss=lambda: Parts(restorer=misled.DropsLaterTruncates),
        step="truncated",
    ),
    Defect(
        name="drops before the cut",
        failure_mode="FM-7",
        where="restorer",
        words="the restorer applies every DROP in the archive, whatever the cut",
        caught_by=("honest", "loss"),
        parts=lambda: Parts(restorer=reshaped.DropsBeforeTheCut),
        near_miss=lambda: Parts(restorer=misled.DropsLaterTruncates),
        step="dropped",
    ),
    Defect(
        name="leaves rebuilt tables unpublished",
        failure_mode="FM-56",
        where="restorer",
        words="the restorer rebuilds dropped tables, but does not publish them: they are captured no more",
        caught_by=("catalogue",),
        parts=lambda: Parts(target=reshaped.LeavesUnpublished),
        near_miss=lambda: Parts(target=reshaped.PublishesAfterwards),
        step="schema_dropped",
    ),
    Defect(
        name="leaves partitions out",
        failure_mode="FM-61",
        where="restorer",
        words="the restorer rebuilds tables that are missing, and no partition of one that is there",
        caught_by=("catalogue",),
        parts=lambda: Parts(target=reshaped.LeavesLeavesOut),
        near_miss=lambda: Parts(restorer=reshaped.LooksForChangesAlways),
        step="detached",
    ),
    Defect(
        name="knows one operator only",
        failure_mode="FM-10",
        where="restorer",
        words="whom two operators damage is cut where the tenant restored before was cut",
        caught_by=("loss",),
        parts=lambda: Parts(subject=misled.CutsLikeTheOneBefore),
        near_miss=lambda: Parts(subject=misled.CutsAtTheLowerBound),
        step="two_operators",
    ),
    Defect(
        name="brings back what was erased",
        failure_mode="FM-13",
        where="restorer",
        words="the restorer leaves out rightful deletions that no writer made",
        caught_by=("resurrection",),
        parts=lambda: Parts(restorer=misled.BringsBackTheErased),
        near_miss=lambda: Parts(restorer=faulty.ReadsNeighboursRows),
        step="erasure",
    ),
    Defect(
        name="keeps what was given by mistake",
        failure_mode="FM-41",
        where="restorer",
        words="rows that a script moved to a tenant come back as its own",
        caught_by=("nothing else",),
        parts=lambda: Parts(restorer=movers.KeepsWhatWasGiven),
        near_miss=lambda: Parts(restorer=movers.LeavesOutTwice),
        step="moved",
        seed=2,
    ),
    Defect(
        name="takes nothing back",
        failure_mode="FM-41",
        where="restorer",
        words="rows that a script moved to another tenant stay there when their own is restored",
        caught_by=("live rows",),
        parts=lambda: Parts(restorer=movers.TakesNothingBack),
        near_miss=lambda: Parts(restorer=movers.TakesTwice),
        step="moved",
        seed=2,
    ),
    Defect(
        name="takes back too much",
        failure_mode="FM-41",
        where="restorer",
        words="who got rows of a tenant loses its own ones too when that tenant is restored",
        caught_by=("live rows", "set aside"),
        parts=lambda: Parts(restorer=movers.TakesTooMuch),
        near_miss=lambda: Parts(restorer=movers.TakesTwice),
        step="rehomed",
        seed=2,
    ),
    Defect(
        name="reports a watermark that runs ahead",
        failure_mode="FM-94",
        where="archiver",
        words="the subject calls durable what the capture has only read",
        caught_by=("watermarks",),
        parts=lambda: Parts(subject=faulty.RunsAhead),
        near_miss=lambda: Parts(subject=faulty.LagsBehind),
        watermark_checks=(WatermarkCheck(moment="write", after_s=6.5, tenants=("acme-1", "hooli-5")),),
    ),
    Defect(
        name="forgets shared rows",
        failure_mode="FM-5",
        where="restorer",
        words="the restorer takes it for granted that lookup rows, to which a tenant's refer, are there",
        caught_by=("restored", "shared rows"),
        parts=lambda: Parts(restorer=movers.ForgetsSharedRows),
        near_miss=lambda: Parts(restorer=movers.AddsSharedRowsTwice),
        step="shared_parent",
    ),
    Defect(
        name="keeps the mark",
        failure_mode="FM-9",
        where="restorer",
        words="the restorer cuts just after the mark: whom the reaper spared comes back marked",
        caught_by=("nothing else",),
        parts=lambda: Parts(subject=misled.CutsJustAfter),
        near_miss=lambda: Parts(subject=misled.CutsAtTheLowerBound),
        step="reaped",
    ),
    Defect(
        name="brings back under another name",
        failure_mode="FM-12",
        where="restorer",
        words="where a natural key was taken meanwhile, the restored row gets another one",
        caught_by=("exact",),
        parts=lambda: Parts(restorer=movers.BringsBackUnderAnotherName),
        near_miss=lambda: Parts(restorer=movers.RefusesAfterASecondTry),
        step="taken",
    ),
    Defect(
        name="refuses without a reason",
        failure_mode="FM-12",
        where="restorer",
        words="a refusal does not name the rows that are in each other's way",
        caught_by=("restored",),
        parts=lambda: Parts(restorer=movers.RefusesWithoutAReason),
        near_miss=lambda: Parts(restorer=movers.RefusesAfterASecondTry),
        step="taken",
    ),
    Defect(
        name="throws later rows away",
        failure_mode="FM-8",
        where="restorer",
        words="rows that were written after the cut go, and are set aside nowhere",
        caught_by=("set aside",),
        parts=lambda: Parts(restorer=movers.ThrowsLaterRowsAway),
        near_miss=lambda: Parts(restorer=movers.SetsAsideInScratchToo),
        step="blanked",
    ),
    Defect(
        name="overlooks missing heartbeats",
        failure_mode="FM-72",
        where="capture",
        words="the archiver goes on after commits that the capture passed over",
        caught_by=("honest", "prefix"),
        parts=lambda: Parts(connector=gaps.PassesOver, archiver=gaps.OverlooksMissingBeats),
        near_miss=lambda: Parts(archiver=gaps.OverlooksMissingBeats),
    ),
    Defect(
        name="pins only keys",
        failure_mode="FM-85",
        where="restorer",
        words="the restorer reads the newest version of a segment, not the one that the manifest names",
        caught_by=("untampered",),
        parts=lambda: Parts(restorer=tampered.PinsOnlyKeys),
        near_miss=lambda: Parts(restorer=tampered.PinsOldestOfKeys),
        attacks=(Attack(kind="overwrite", moment="restore", aims=EVERYWHERE),),
    ),
    Defect(
        name="reads the latest entries",
        failure_mode="FM-85",
        where="restorer",
        words="the restorer reads the newest version of each manifest entry",
        caught_by=("untampered",),
        parts=lambda: Parts(restorer=tampered.ReadsLatestEntries),
        near_miss=lambda: Parts(restorer=tampered.LooksAtLatestEntries),
        attacks=(Attack(kind="overwrite", moment="restore", aims=EVERYWHERE),),
    ),
    Defect(
        name="believes unsigned entries",
        failure_mode="FM-93",
        where="restorer",
        words="the restorer verifies the chain of hashes, and no signature",
        caught_by=("untampered",),
        parts=lambda: Parts(restorer=tampered.BelievesUnsigned),
        near_miss=lambda: Parts(restorer=tampered.VerifiesFromTheBeginning),
        attacks=(Attack(kind="forge entry", moment="write", after_s=4.0),),
    ),
    Defect(
        name="chains after a forged entry",
        failure_mode="FM-84",
        where="archiver",
        words="the archiver goes on after an entry that somebody else put, and so signs for it",
        caught_by=("untampered",),
        parts=lambda: Parts(archiver=tampered.ChainsAfterForged),
        attacks=(Attack(kind="forge entry", moment="write", after_s=4.0),),
    ),
    Defect(
        name="leaves segments unlocked",
        failure_mode="FM-89",
        where="store",
        words="the archiver writes segments without retention",
        caught_by=("untampered",),
        parts=lambda: Parts(store=tampered.LeavesSegmentsUnlocked),
        near_miss=lambda: Parts(store=tampered.LocksAndLooks),
    ),
    Defect(
        name="loses unlocked segments",
        failure_mode="FM-90",
        where="store",
        words="the archiver writes segments without retention, and somebody deletes them",
        caught_by=("untampered", "restored"),
        parts=lambda: Parts(store=tampered.LeavesSegmentsUnlocked),
        near_miss=lambda: Parts(store=tampered.LocksAndLooks),
        attacks=(Attack(kind="delete", moment="incident", aims=EVERYWHERE),),
    ),
    Defect(
        name="loses an acked write in a failover",
        failure_mode="FM-17",
        where="source",
        words="the standby answers for a commit that it has not got, and is promoted without it",
        caught_by=("live rows",),
        parts=lambda: Parts(server=forked.LosesAnAckedWrite),
        near_miss=lambda: Parts(server=forked.LosesWhatNobodyWasTold),
    ),
    Defect(
        name="captures ahead of the standby",
        failure_mode="FM-20",
        where="capture",
        words="the capture sends what the standby has not got; the archiver stops, and says why",
        caught_by=("archived again",),
        parts=lambda: Parts(connector=forked.RunsAhead, server=forked.FallsBehind),
        near_miss=lambda: Parts(connector=forked.SendsAllAgain, server=forked.FallsBehind),
    ),
    Defect(
        name="merges two histories",
        failure_mode="FM-26",
        where="archiver",
        words="the archiver goes on over what the new timeline never had, and folds its news away",
        caught_by=("prefix", "honest"),
        parts=lambda: Parts(
            connector=forked.RunsAhead, server=forked.FallsBehind, archiver=forked.MergesHistories
        ),
        near_miss=lambda: Parts(connector=forked.SendsAllAgain, archiver=forked.MergesHistories),
    ),
    Defect(
        name="folds away by LSN alone",
        failure_mode="FM-25",
        where="archiver",
        words="the archiver takes what comes at a position given before for a repetition",
        caught_by=("honest",),
        parts=lambda: Parts(archiver=forked.FoldsAwayByLsn),
    ),
)


def defect(name: str) -> Defect:
    """Return the defect of that name; raises KeyError."""
    return {one.name: one for one in DEFECTS}[name]
