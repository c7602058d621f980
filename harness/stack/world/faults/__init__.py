"""Each kind of fault on real services: how it strikes, how it is healed, and what shows either.

To add a kind, add one line to ``PERFORM``, or to ``UNAVAILABLE`` with the reason.
"""

from __future__ import annotations

from harness.stack.world.faults.disturber import Disturber, unavailable

__all__ = ["Disturber", "unavailable"]
