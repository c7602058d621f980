"""The drill in memory: the same runner, backup system and judge, on a simulated stack and a virtual clock.

    loop          an event loop in virtual time
    latency       how long things take
    storage, locks, server, statements         the database, from rows to transactions
    sessions, operator, database, target       what clients, scripts, drills and restores reach of it
    feed          change capture
    life          processes that can be killed
    archive_ports, world, run                  all of it together
    defects, faulty                            backup systems that are wrong in one decision

Never what a user's drill runs on.
"""

from __future__ import annotations

from harness.simulate.run import Simulated, drill, simulate, simulate_into, simulate_series

__all__ = ["Simulated", "drill", "simulate", "simulate_into", "simulate_series"]
