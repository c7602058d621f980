"""Planted defects on real services: the same wrong decisions, found by the same checks.

One stack for all of them. Restorers and subjects are wrong inside the test's own process; for archivers a
file says which one the next start of the process shall be, and a drill that changes it begins with a fresh
cluster and a snapshot, so that what a wrong archiver left in the bucket counts no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from fixtures.handmade import shop_plan
from harness.drive.campaign import Series
from harness.judge import check_run
from harness.model.plan import KillArchiver, Plan
from harness.model.verdict import DrillVerdict
from harness.schemas import load
from harness.simulate.defects import defect
from harness.simulate.faulty import Wrapped
from harness.simulate.world import Parts
from harness.stack.service import Command, Fact, ServiceSpec, Site
from harness.stack.services import archiver as archiver_service
from harness.stack.stack import Stack
from harness.stack.world.clock import WallClock
from harness.stack.world.open import archive_config, open_world
from harness.subject.reference.adapters.wiring import subject_of
from harness.subject.reference.archiver import Archiver

pytestmark = pytest.mark.live

WRITE_S = 6.0
LOADED = load("shop")


class PlantedStack:
    """A stack on which drills run with any parts of the backup system replaced."""

    def __init__(self, stack: Stack, switch: Path, loop: asyncio.Runner) -> None:
        self._stack = stack
        self._switch = switch
        self._loop = loop
        self._config = archive_config(stack, LOADED)
        self._subject = Wrapped(subject_of(self._config, clock=WallClock()))
        world = open_world(stack, LOADED, self._subject)
        self._series = Series(world, LOADED.schema, {"host": "local"})

    def drill(self, plan: Plan, run: Path, *, planted: str = "") -> DrillVerdict:
        """Run a plan with a defect, or with none, and judge it."""
        parts = defect(planted).parts() if planted else Parts()
        self._subject.inner = parts.subject(
            subject_of(self._config, clock=WallClock(), restorer=parts.restorer)
        )
        archiver = planted if parts.archiver is not Archiver else ""
        if archiver != self._switch.read_text():
            self._switch.write_text(archiver)
            plan = msgspec.structs.replace(plan, initial="snapshot")
        self._loop.run(self._series.drill(plan, run))
        return check_run(run)


def planted_spec(switch: Path) -> Callable[[Site, str, Fact], ServiceSpec]:
    """Return a description of the archiver that starts the planted one instead."""
    describe = archiver_service.archiver

    def archiver(site: Site, config: str, ready: Fact) -> ServiceSpec:
        spec = describe(site, config, ready)
        file = site.file("archiver", archiver_service.CONFIG_FILE)
        arguments = ("-m", "chaos_tests.planted.archiver", str(switch), file)
        return msgspec.structs.replace(spec, run=Command(program="python", arguments=arguments))

    return archiver


@pytest.fixture(scope="module")
def planted_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedStack]:
    """A running stack whose archiver can be switched; nothing of it is left behind."""
    switch = tmp_path_factory.mktemp("switch") / "defect"
    switch.write_text("")
    with pytest.MonkeyPatch.context() as patch, Stack.start() as stack, asyncio.Runner() as loop:
        patch.setattr(archiver_service, "archiver", planted_spec(switch))
        yield PlantedStack(stack, switch, loop)


def broken_checks(verdict: DrillVerdict) -> set[str]:
    """Return the names of the checks that found something broken."""
    findings = [*verdict.findings, *(f for tenant in verdict.tenants for f in tenant.findings)]
    return {finding.check for finding in findings if finding.verdict == "broken"}


def plan_for(planted: str) -> Plan:
    """Return the plan in which the defect can show itself."""
    match planted:
        case "moves the offset before the write":
            faults = (KillArchiver(phase="write", after_s=4.5, down_s=0.5),)
            return shop_plan(write_s=WRITE_S, budget_s=5.5, faults=faults)
        case "cuts all at the start of the script":
            return shop_plan(write_s=WRITE_S, script_pause_s=4.0)
    return shop_plan(write_s=WRITE_S)


def test_without_a_defect_the_drill_is_proven(planted_stack: PlantedStack, tmp_path: Path) -> None:
    """What the other tests find broken is the defect's doing."""
    verdict = planted_stack.drill(shop_plan(write_s=WRITE_S), tmp_path / "run")
    assert verdict.verdict == "proven", verdict


@pytest.mark.parametrize(
    "planted",
    [
        "drops the last segment",
        "loses one row in the middle",
        "restores a neighbour's row",
        "brings back a deleted row",
        "cuts all at the start of the script",
        "moves the offset before the write",
        "skips a tenant",
    ],
)
def test_each_defect_is_caught_by_its_check(
    planted_stack: PlantedStack, tmp_path: Path, planted: str
) -> None:
    """The drill is broken, and the checks that the table names are among those that say so."""
    verdict = planted_stack.drill(plan_for(planted), tmp_path / "run", planted=planted)
    assert verdict.verdict == "broken"
    assert set(defect(planted).caught_by) <= broken_checks(verdict)
