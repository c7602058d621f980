"""Each kind of fault on real services: how it strikes, how it is healed, and what shows either.

A kind more is one line in ``PERFORM``, or one in ``UNAVAILABLE`` with the reason.
"""

from __future__ import annotations

from harness.stack.world.faults.disturber import Disturber, unavailable

__all__ = ["Disturber", "unavailable"]
