"""Each kind of fault on real services: how it strikes, how it is healed, and what shows either.

A kind more is one line in ``PERFORM``, or one in ``unavailable`` with the reason.
"""

from __future__ import annotations

from harness.drive.ports import Proof
from harness.model import faults as f
from harness.model.errors import ServiceDied, TimedOut
from harness.stack.stack import Stack
from harness.stack.world.bucket import MinioBucket


class Disturber:
    """Does faults to a stack; synchronous, to be called in a thread. ``watch``: listings of its own."""

    def __init__(self, stack: Stack, watch: MinioBucket) -> None:
        self._stack = stack
        self._watch = watch

    def available(self, fault: f.Fault) -> str:
        """Return why this host can't do a fault, or an empty text."""
        return "" if f.name_of(fault) == "kill archiver" else "it is not built yet"

    def disturb(self, fault: f.Fault) -> Proof:
        """Inject a fault."""
        assert isinstance(fault, f.Kill)
        service = fault.service
        before = self._stack.is_running(service)
        self._stack.kill(service)
        after = self._stack.is_running(service)
        words = f"{service} was {'' if before else 'not '}running, then {'still ' if after else 'gone'}"
        return Proof(seen=before and not after, words=words)

    def heal(self, fault: f.Fault) -> Proof:
        """Start a killed service again; healed when it has written to the bucket since."""
        assert isinstance(fault, f.Kill)
        self._watch.look()
        try:
            self._stack.restart(fault.service)
        except (ServiceDied, TimedOut) as failed:
            return Proof(seen=False, words=str(failed))
        return Proof(seen=True, words=f"{fault.service} runs and has written to the bucket again")
