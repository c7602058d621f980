"""The drive's ports on real services: Postgres by psycopg, the bucket by minio, machinery by a stack.

``open_world`` puts them together; the modules hold one port each.
"""

from __future__ import annotations

from harness.stack.world.open import archive_config, open_world

__all__ = ["archive_config", "open_world"]
