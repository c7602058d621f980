"""The programs of the stack: where they are, and how they get there.

``fetch`` brings Postgres, Java, Kafka with Connect, Debezium, MinIO and Toxiproxy into the user's
cache, each by name and version, each checked against our own SHA-256 list (``pins/artefacts.toml``)
before it is used. ``locate`` finds them there without touching the network. One file, one duty:

- ``pins``: the pinned list, as values;
- ``download``: one pinned file, checked, refused by name and fetched again;
- ``golang``: the two programs that are built from a go.mod and go.sum of ours;
- ``mended``: the one class of Debezium that is mended here;
- ``cache``: folders that appear whole or not at all, with a record of every file in them;
- ``parts``: the table of programs: which pins, and what becomes of them;
- ``progress``: what a human sees meanwhile.
"""

from __future__ import annotations

from harness.stack.programs.located import Programs, locate
from harness.stack.programs.setup import fetch

__all__ = ["Programs", "fetch", "locate"]
