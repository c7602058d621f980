"""Runs the checks over a case and puts their findings together into the verdict of a drill.

This is the judge's worker boundary: a check that crashes gives *unknown*, with its name and its error,
and never takes another check's findings with it.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePath
from typing import TypeVar

import msgspec

from harness.judge.blame import blamed
from harness.judge.case import Case, open_case
from harness.judge.check import Check, unknown
from harness.judge.checks import CHECKS
from harness.judge.envelope import at_best, demanded, outside
from harness.judge.points import NOTHING_JUDGED, points_judged, points_not_judged
from harness.judge.readings import Restored
from harness.judge.testimonies import testimonies
from harness.judge.timeline import Transaction
from harness.model.coverage import marked
from harness.model.errors import BadInput
from harness.model.folder import PLAN
from harness.model.history import Entry, FaultBegan
from harness.model.plan import Plan, TenantPlan
from harness.model.schema import Schema
from harness.model.stages import AnyStage
from harness.model.verdict import DrillVerdict, Finding, TenantVerdict, merge

T = TypeVar("T")

FINDINGS_MAX = 20
"""Findings of one check on one tenant that a verdict carries; the rest is counted."""


def judge(
    plan: Plan,
    schema: Schema,
    history: Iterable[Entry | Transaction],
    restored: Restored,
    *,
    checks: Sequence[Check] = CHECKS,
    stages: Callable[[], Iterable[AnyStage]] = tuple,
) -> DrillVerdict:
    """Judge one drill. ``restored``: the rows read back, by the file of the run folder that holds them.

    ``stages`` gives what the stages of the pipeline held; it is asked only when something is broken.
    """
    case, findings = _guard("case", lambda: open_case(plan, schema, history, restored))
    if case is None:
        return _verdict(plan, (), findings)
    findings, crashed = _run(checks, case)
    findings = _blamed(case, findings, stages)
    findings = [*outside(plan), *(demanded(plan, finding) for finding in findings)]
    mine: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        mine[finding.tenant].append(finding)
    tenants = tuple(_tenant(case, tenant, mine.get(tenant.tenant, ())) for tenant in plan.tenants)
    cells, witness = marked(plan, case.timeline.of(FaultBegan)), testimonies(case)
    return msgspec.structs.replace(
        _verdict(plan, tenants, findings),
        cells=cells,
        points_judged=points_judged(case),
        points_not_judged=points_not_judged(case, witness, crashed),
        witness=witness,
    )


def _run(checks: Iterable[Check], case: Case) -> tuple[list[Finding], list[Check]]:
    """Return what the checks found, and those that crashed."""
    findings: list[Finding] = []
    crashed: list[Check] = []
    for check in checks:
        found, crash = _guard(check.name, partial(_found, check, case))
        findings += [*_limited(found or []), *crash]
        crashed += [check] if crash else []
    return findings, crashed


def _found(check: Check, case: Case) -> list[Finding]:
    return list(check.run(case))


def _blamed(case: Case, findings: list[Finding], stages: Callable[[], Iterable[AnyStage]]) -> list[Finding]:
    """Return the findings with their blame; as they are when none is broken, or blaming crashes."""
    if merge(finding.verdict for finding in findings) != "broken":
        return findings
    told, crashed = _guard("blame", lambda: list(blamed(case, findings, stages())))
    return [*(findings if told is None else told), *crashed]


def _guard(name: str, call: Callable[[], T]) -> tuple[T | None, list[Finding]]:
    """Return the result of ``call``, or None and a finding that tells how it crashed; raises BadInput."""
    try:
        return call(), []
    except BadInput:
        raise  # who gave it can mend it
    except Exception as error:  # noqa: BLE001 - the worker boundary: what a check can't judge is unknown
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{PurePath(last.filename).name}, line {last.lineno}"
        return None, [unknown(name, f"the check crashed: {type(error).__name__}: {error} ({where})")]


def _limited(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first findings of each tenant, then how many more there are."""
    by_tenant: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_tenant[finding.tenant].append(finding)
    for found in by_tenant.values():
        yield from found[:FINDINGS_MAX]
        if len(found) > FINDINGS_MAX:
            worst = merge(finding.verdict for finding in found[FINDINGS_MAX:])
            yield msgspec.structs.replace(
                found[0],
                verdict="broken" if worst == "broken" else "unknown",
                message=f"and {len(found) - FINDINGS_MAX} more of this kind",
                restore=None,
                table=None,
                key=None,
                column=None,
                expected=None,
                found=None,
                operation=None,
                loss_s=None,
                blame=None,
            )


def _tenant(case: Case, planned: TenantPlan, findings: Sequence[Finding]) -> TenantVerdict:
    tenant, restores = planned.tenant, case.restores_of(planned.tenant)
    answered = [r.restore for r in restores if r.restore.done is not None]
    last = next((r for r in reversed(restores) if r.found), None)
    read = last.restore.read_back if last else None
    return TenantVerdict(
        tenant=tenant,
        damaged=case.damaged(tenant),
        rightly_deleted=case.rightly_deleted(tenant),
        quiet=planned.quiet,
        verdict=merge([at_best(case.plan), *(finding.verdict for finding in findings)]),
        loss_s=max((r.loss.seconds for r in restores if r.loss), default=None),
        exposure_s=max((r.exposure.seconds for r in restores if r.exposure), default=None),
        restore_s=max((r.done_s - r.began_s for r in answered), default=None),
        bytes_read=max((r.done.bytes_read for r in answered if r.done), default=None),
        rows=len(last.found.rows) if last and last.found else None,
        row_bytes=read.size_bytes if read else None,
        findings=tuple(findings),
    )


def _verdict(plan: Plan, tenants: tuple[TenantVerdict, ...], findings: list[Finding]) -> DrillVerdict:
    lossy = max((t for t in tenants if t.loss_s is not None), key=_loss_s, default=None)
    exposed = max((t for t in tenants if t.exposure_s is not None), key=_exposure_s, default=None)
    return DrillVerdict(
        verdict=merge([at_best(plan), *(finding.verdict for finding in findings)]),
        budget_s=plan.budget_s,
        profile=plan.profile,
        plan=PLAN,
        script="; then ".join(script.words for script in plan.scripts),
        survivors=plan.survivors,
        points_judged=(),
        points_not_judged=NOTHING_JUDGED,
        tenants=tenants,
        outside=plan.outside,
        findings=tuple(finding for finding in findings if finding.tenant is None),
        worst_loss_s=lossy.loss_s if lossy else None,
        worst_loss_tenant=lossy.tenant if lossy else None,
        worst_exposure_s=exposed.exposure_s if exposed else None,
        worst_exposure_tenant=exposed.tenant if exposed else None,
        slowest_restore_s=max((t.restore_s for t in tenants if t.restore_s is not None), default=None),
    )


def _loss_s(tenant: TenantVerdict) -> float:
    return tenant.loss_s or 0.0


def _exposure_s(tenant: TenantVerdict) -> float:
    return tenant.exposure_s or 0.0
