"""The same plan on both hosts: two run folders that say the same, whatever ran the services.

Plans are written by hand, so that every instant in them is chosen, and each pair of run folders is compared
as files: what was planned, who was in the census, who was damaged, what was found, and where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from fixtures.handmade import shop_plan
from fixtures.planted import WRITE_S, PlantedStack, open_planted, plan_for
from harness.model import folder
from harness.model.verdict import DrillVerdict, Finding, decode, encode
from harness.simulate.defects import defect
from harness.stack.host import HostName
from harness.stack.options import StackOptions

pytestmark = [pytest.mark.live, pytest.mark.containers]

HOSTS: tuple[HostName, ...] = ("local", "containers")
BothHosts = dict[HostName, PlantedStack]


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What two runs of one plan must agree about. Findings: see ``places``."""

    plan: bytes
    verdict: str
    census: frozenset[str]
    damaged: frozenset[str]
    verdicts: dict[str, str]
    points_judged: tuple[str, ...]
    checks: frozenset[tuple[str, str, str]]


@pytest.fixture(scope="module")
def both_hosts(
    restoreproof_options: StackOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BothHosts]:
    """A stack on each host, whose backup system can be made wrong."""
    place = tmp_path_factory.mktemp("switches")
    with ExitStack() as stacks:
        yield {
            host: stacks.enter_context(
                open_planted(msgspec.structs.replace(restoreproof_options, host=host), place / host)
            )
            for host in HOSTS
        }


def run_on_both(stacks: BothHosts, out: Path, planted: str = "") -> tuple[Path, Path]:
    """Run the same plan on one host after the other, and store each verdict in its run folder."""
    for host, stack in stacks.items():
        plan = plan_for(planted) if planted else shop_plan(write_s=WRITE_S)
        verdict = stack.drill(plan, out / host, planted=planted)
        (out / host / folder.VERDICT).write_bytes(encode(verdict))
    return out / "local", out / "containers"


def ruling(run: Path) -> Ruling:
    """Read from a run folder what does not depend on how fast its machine was."""
    verdict = decode((run / folder.VERDICT).read_bytes())
    return Ruling(
        plan=(run / folder.PLAN).read_bytes(),
        verdict=verdict.verdict,
        census=frozenset(t.tenant for t in verdict.tenants),
        damaged=frozenset(t.tenant for t in verdict.tenants if t.damaged),
        verdicts={t.tenant: t.verdict for t in verdict.tenants},
        points_judged=verdict.points_judged,
        checks=places(verdict),
    )


def places(verdict: DrillVerdict) -> frozenset[tuple[str, str, str]]:
    """Return which check found what was broken, about whom, and at which stage of the drill."""
    findings = verdict.every_finding
    return frozenset((f.check, f.tenant or "", stage(f)) for f in findings if f.verdict == "broken")


def stage(finding: Finding) -> str:
    """Return where a finding was made: in a restore, in the final reading, or in the drill at large."""
    if finding.restore is None:
        return "drill"
    return "restore" if finding.restore else "final reading"


def hosts_of(*runs: Path) -> list[object]:
    """Return the host that each run folder names."""
    return [msgspec.json.decode((run / folder.ENVIRONMENT).read_bytes())["host"] for run in runs]


def test_a_proven_drill_is_proven_on_both_hosts(both_hosts: BothHosts, tmp_path: Path) -> None:
    """Same census, same damaged tenants, same verdict of each; only the hosts differ."""
    local, containers = run_on_both(both_hosts, tmp_path)
    assert hosts_of(local, containers) == list(HOSTS)
    assert ruling(local) == ruling(containers)
    assert ruling(local).verdict == "proven"
    assert ruling(local).damaged


@pytest.mark.parametrize("planted", ["loses one row in the middle", "cuts all at the start of the script"])
def test_a_defect_is_found_by_the_same_check_at_the_same_stage(
    both_hosts: BothHosts, tmp_path: Path, planted: str
) -> None:
    """What a wrong backup system did is broken on both hosts, for the same tenants and the same reason.

    Compared are the checks that the table of defects names: others see how much was lost, which is chance.
    """
    local, containers = (ruling(run) for run in run_on_both(both_hosts, tmp_path, planted))
    assert local.verdict == containers.verdict == "broken"
    assert (local.census, local.damaged) == (containers.census, containers.damaged)
    assert local.verdicts == containers.verdicts
    named = defect(planted).caught_by
    found = {place for place in local.checks if place[0] in named}
    assert {check for check, _, _ in found} == set(named)
    assert found == {place for place in containers.checks if place[0] in named}
