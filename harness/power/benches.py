"""Benches: where the drills of a trial are run. The simulator is one; real services have ``live.bench``."""

from __future__ import annotations

from typing import Protocol

from harness.model.faults import Fault
from harness.model.plan import Plan
from harness.model.schema import Schema
from harness.model.verdict import DrillVerdict
from harness.simulate import drill, faults
from harness.simulate.world import Parts


class Bench(Protocol):
    """Runs and judges drills with parts of the system replaced."""

    def drill(self, plan: Plan, schema: Schema, parts: Parts) -> DrillVerdict:
        """Run and judge ``plan``; raises HarnessFailed when it can't be run to its end."""

    def unavailable(self, fault: Fault) -> str:
        """Return why a fault can't be done here, or an empty text."""


class Simulated:
    """Drills in memory, on a virtual clock."""

    def drill(self, plan: Plan, schema: Schema, parts: Parts) -> DrillVerdict:
        """Run and judge ``plan``."""
        return drill(plan, schema, parts)

    def unavailable(self, fault: Fault) -> str:
        """Return why a fault can't be simulated."""
        return faults.reason(fault)


BENCHES: dict[str, Bench] = {"simulated": Simulated()}
"""By the name that ``--host`` takes."""
