"""The layers that a write passes on its way from an application into a restored tenant, by name."""

from __future__ import annotations

from typing import Literal

Layer = Literal["source", "capture", "broker", "archiver", "store", "restorer", "harness"]
"""Where a defect sits, and what a loss is blamed on.

``source``: Postgres, primary and standby. ``capture``: slot, connector and its worker. ``store``: the
object server and what is put there. ``harness``: the harness itself.
"""
