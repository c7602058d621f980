"""Does faults to a running stack, by the table of kinds, and says which ones this host can't do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg

from harness.drive.ports import Proof
from harness.model import faults as f
from harness.model.errors import RestoreproofError
from harness.stack.host import HostName
from harness.stack.stack import Stack
from harness.stack.world.bucket import MinioBucket
from harness.stack.world.faults import capture, clocks, commits, links, lost, processes
from harness.stack.world.faults.ground import STORE_AWAY, Gone, Ground, Performed, all_well
from harness.subject.reference.config import ArchiveConfig

PERFORM: Final[dict[type[f.Fault], Performed]] = {
    f.Kill: processes.KILL,
    f.Pause: processes.PAUSE,
    f.CutLink: links.CUT,
    f.DelayLink: links.DELAY,
    f.ResetLink: links.RESET,
    f.SlowStore: links.SLOW_STORE,
    f.FullStore: links.FULL_STORE,
    f.ClockJump: clocks.CLOCK_JUMP,
    f.RestartConnector: capture.RESTART_CONNECTOR,
    f.PauseConnector: capture.PAUSE_CONNECTOR,
    f.LoseOffsets: lost.LOSE_OFFSETS,
    f.DropSlot: lost.DROP_SLOT,
    f.AdvanceSlot: lost.ADVANCE_SLOT,
    f.EmptySyncNames: commits.EMPTY_SYNC_NAMES,
    f.CancelCommit: commits.CANCEL_COMMIT,
    f.TerminateCommit: commits.TERMINATE_COMMIT,
}
"""For each kind that real services can be made to meet, how it is performed."""

UNAVAILABLE: Final[dict[type[f.Fault], str]] = {
    f.FullDisk: "services share this machine's filesystem: filling it would fill everybody's",
}
"""For each other kind, why not."""


FAILED: Final = (RestoreproofError, psycopg.Error, *STORE_AWAY)
"""What ends an attempt: the fault is then not proven, and the drill goes on to say so."""


def unavailable(fault: f.Fault, host: HostName) -> str:
    """Return why a host can't do a fault, or an empty text."""
    if isinstance(fault, f.Kill | f.Pause) and fault.service == "restorer":
        return "restores run in the harness's own process: only a simulated one can be killed alone"
    if isinstance(fault, f.ClockJump):
        return clocks.unavailable(fault, host)
    return "" if type(fault) in PERFORM else UNAVAILABLE[type(fault)]


class Disturber:
    """Does faults to a stack; synchronous, to be called in a thread.

    ``watch``: listings of its own; ``config``: what the archiver is told; ``has_cluster``: whether more
    than the archive is left by now.
    """

    def __init__(
        self, stack: Stack, watch: MinioBucket, config: ArchiveConfig, has_cluster: Callable[[], bool]
    ) -> None:
        self._ground = Ground(stack, watch, config, has_cluster)

    def available(self, fault: f.Fault) -> str:
        """Return why this host can't do a fault, or an empty text."""
        return unavailable(fault, self._ground.stack.host_name)

    def disturb(self, fault: f.Fault) -> Proof:
        """Inject a fault; that it could not be done is a proof of nothing."""
        try:
            return PERFORM[type(fault)].disturb(self._ground, fault)
        except FAILED as failed:
            return Proof(seen=False, words=f"it could not be done: {failed}")

    def heal(self, fault: f.Fault, *, destroyed: bool) -> Proof:
        """Undo a fault, and see that what it touched works again, as far as it was not ``destroyed``."""
        try:
            undone = PERFORM[type(fault)].heal(self._ground, fault)
            return undone if destroyed or not undone.seen else self._seen_well(fault, undone)
        except FAILED as failed:
            return Proof(seen=False, words=f"it could not be healed: {failed}")

    def _seen_well(self, fault: f.Fault, undone: Proof) -> Proof:
        """See that all is well after a fault was undone; what is destroyed meanwhile need not be."""
        try:
            return Proof(seen=True, words=f"{undone.words}; {all_well(self._ground, fault)}")
        except Gone:
            return undone
