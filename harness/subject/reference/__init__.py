"""The reference backup system: per-tenant archive and restore for stock Postgres.

Archiver and restorer are written against three ports (``ports.py``): change feed, object store, target
database. The same code runs on Kafka, S3 and Postgres (``adapters``) and inside the simulator.
"""

from __future__ import annotations

from harness.subject.reference.capture import capture_sql

__all__ = ["capture_sql"]
