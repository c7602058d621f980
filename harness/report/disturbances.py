"""What was done to a drill on purpose, as people read it: each fault with its proofs, and each attack."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model import history
from harness.model.faults import name_of
from harness.model.plan import Plan


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """A fault: ``begin_s`` None if it was never injected, ``healed_s`` None if it was not seen healed."""

    name: str
    begin_s: float | None = None
    healed_s: float | None = None
    bit: bool = False
    proof: str = ""
    healed: str = ""

    @property
    def words(self) -> str:
        """The fault with both its proofs, in a line."""
        bitten = "" if self.bit else " (not seen to bite)"
        return f"{self.name}{bitten}: {self.proof}" + (f"; {self.healed}" if self.healed else "")


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """An attack: how many ``acts`` it had, how many were ``refused``, and the last answer."""

    name: str
    begin_s: float | None = None
    acts: int = 0
    refused: int = 0
    answer: str = ""


def faults_of(plan: Plan, entries: Sequence[history.AnyEntry]) -> tuple[Struck, ...]:
    """Return the plan's faults in order, with what was seen of each."""
    began = {entry.fault: entry for entry in entries if isinstance(entry, history.FaultBegan)}
    healed = {entry.fault: entry for entry in entries if isinstance(entry, history.FaultHealed)}
    return tuple(
        _struck(name_of(fault), began.get(number), healed.get(number))
        for number, fault in enumerate(plan.faults)
    )


def _struck(name: str, began: history.FaultBegan | None, healed: history.FaultHealed | None) -> Struck:
    if began is None:
        return Struck(name=name, proof="never injected")
    return Struck(
        name=name,
        begin_s=began.at_s,
        healed_s=healed.at_s if healed else None,
        bit=began.bit,
        proof=began.proof,
        healed=healed.proof if healed else "",
    )


def attacks_of(plan: Plan, entries: Sequence[history.AnyEntry]) -> tuple[Tried, ...]:
    """Return the plan's attacks in order, with what became of each."""
    acts = [entry for entry in entries if isinstance(entry, history.Attacked)]
    return tuple(_tried(plan, number, acts) for number in range(len(plan.attacks)))


def _tried(plan: Plan, number: int, acts: Sequence[history.Attacked]) -> Tried:
    mine = [act for act in acts if act.attack == number]
    return Tried(
        name=plan.attacks[number].kind,
        begin_s=mine[0].at_s if mine else None,
        acts=len(mine),
        refused=sum(act.refused for act in mine),
        answer=mine[-1].answer if mine else "never tried",
    )
