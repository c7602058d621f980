"""Planted defects around the backup system: capture, broker and store, and the harness itself.

Those of the harness must never be called proven; there is nothing that they would break.
"""

from __future__ import annotations

import msgspec

from harness.model.faults import Kill, LoseOffsets
from harness.model.plan import Plan
from harness.simulate import forked, hasty, misset, pretending
from harness.simulate.defect import Defect
from harness.simulate.world import Parts

DEFECTS: tuple[Defect, ...] = (
    Defect(
        name="sends numerics as doubles",
        failure_mode="FM-65",
        where="capture",
        words="numerics are told as doubles, as decimal.handling.mode=double has it",
        caught_by=("exact",),
        parts=lambda: Parts(connector=misset.SendsDoubles),
        near_miss=lambda: Parts(connector=misset.LooksAtNumerics),
    ),
    Defect(
        name="sends months as days",
        failure_mode="FM-63",
        where="capture",
        words="intervals are told as a length of time, as interval.handling.mode=numeric has it",
        caught_by=("exact",),
        parts=lambda: Parts(connector=misset.SendsMonthsAsDays),
        near_miss=lambda: Parts(connector=misset.LooksAtIntervals),
    ),
    Defect(
        name="tells defaults for NULLs",
        failure_mode="FM-62",
        where="capture",
        words="an empty text is told for a NULL one, as converters do that fill in defaults",
        caught_by=("exact",),
        parts=lambda: Parts(connector=misset.NullsBecomeDefaults),
        near_miss=lambda: Parts(connector=misset.LooksAtNulls),
    ),
    Defect(
        name="loses a batch after a restart",
        failure_mode="FM-46",
        where="capture",
        words="after a restart the rest of the batch is skipped without an error",
        caught_by=("honest", "prefix"),
        parts=lambda: Parts(connector=misset.LosesBatchAfterRestart),
        near_miss=lambda: Parts(connector=forked.SendsAllAgain),
    ),
    Defect(
        name="delivers out of order",
        failure_mode="FM-78",
        where="broker",
        words="a topic of two partitions: now and then a transaction comes after the one that follows it",
        caught_by=("loss", "archived again"),
        parts=lambda: Parts(connector=misset.DeliversOutOfOrder),
        near_miss=lambda: Parts(connector=misset.DeliversLate),
    ),
    Defect(
        name="answers before it has stored",
        failure_mode="FM-93",
        where="store",
        words="the object server answers for what is in a cache only, and loses every third segment",
        caught_by=("untampered",),
        parts=lambda: Parts(store=hasty.AnswersTooSoon),
        near_miss=lambda: Parts(store=hasty.AnswersLate),
    ),
    Defect(
        name="writers never wrote",
        failure_mode="FM-110",
        where="harness",
        words="tenants are loaded and restored, and no writer ever writes: it proves nothing",
        caught_by=("floors",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(database=pretending.WritersNeverWrote),
        near_miss=lambda: Parts(database=pretending.WritersBeginLate),
    ),
    Defect(
        name="faults never bite",
        failure_mode="FM-110",
        where="harness",
        words="faults are injected, and none is seen to bite",
        caught_by=("faults",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(machinery=pretending.FaultsNeverBite),
        near_miss=lambda: Parts(machinery=pretending.FaultsAreSeenTwice),
    ),
    Defect(
        name="nobody looks at the script",
        failure_mode="FM-110",
        where="harness",
        words="a script is let loose, and nobody looks at what it did",
        caught_by=("script",),
        says="unknown",
        profile="simulated",
        parts=lambda: Parts(database=pretending.ScriptsUnseen),
        near_miss=lambda: Parts(database=pretending.ScriptsSeenTwice),
    ),
    Defect(
        name="passes over NULLs",
        failure_mode="FM-110",
        where="harness",
        words="the harness reads an empty text for each NULL, as a careless digest does",
        caught_by=("exact",),
        parts=lambda: Parts(database=pretending.PassesOverNulls),
        near_miss=lambda: Parts(database=pretending.ReadsColumnsInAnyOrder),
    ),
    Defect(
        name="reads rows twice",
        failure_mode="FM-110",
        where="harness",
        words="the harness reads some rows twice; a digest of a set of rows would not see it",
        caught_by=("nothing else",),
        parts=lambda: Parts(database=pretending.ReadsRowsTwice),
        near_miss=lambda: Parts(database=pretending.ReadsColumnsInAnyOrder),
    ),
)


def cut_off(plan: Plan, down_s: float = 310.0) -> Plan:
    """Return the plan with the archiver down for longer than is promised, long before the script."""
    fault = Kill(service="archiver", phase="write", after_s=0.5, down_s=down_s)
    return msgspec.structs.replace(
        plan,
        faults=(fault,),
        attacks=(),
        watermark_checks=(),
        switchovers=(),
        write_s=plan.write_s + down_s + 5,
    )


def destroyed_at_once(plan: Plan) -> Plan:
    """Return the plan with what does not survive gone soon after the first damage."""
    return plan if plan.survivors == "all" else msgspec.structs.replace(plan, destroy_after_s=0.2)


def killed_amid_writes(plan: Plan, down_s: float = 0.8) -> Plan:
    """Return the plan with one fault: the archiver is killed while tenants write."""
    fault = Kill(service="archiver", phase="write", after_s=1.3, down_s=down_s)
    budget_s = max(plan.budget_s, down_s + plan.recovery_s)
    return msgspec.structs.replace(plan, faults=(fault,), switchovers=(), budget_s=budget_s)


def keeping_offsets(plan: Plan) -> Plan:
    """Return the plan without the fault that has a connector lose its offsets."""
    faults = tuple(fault for fault in plan.faults if not isinstance(fault, LoseOffsets))
    return msgspec.structs.replace(plan, faults=faults)


def before_a_failover(plan: Plan) -> Plan:
    """Return the plan with a failover soon after its first damage, when a standby has fallen behind."""
    return msgspec.structs.replace(
        plan,
        survivors="standby",
        write_s=9.3,
        destroy_after_s=1.5,
        script_goes_on=True,
        faults=(),
        attacks=(),
        watermark_checks=(),
        switchovers=(),
    )
