"""What is other than it should be in the services of a drill, for defects planted on a real stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from harness.drive.ports import Proof
from harness.model.faults import Fault
from harness.model.schema import Schema
from harness.stack.services.archiver import PROGRAM
from harness.stack.stack import Stack
from harness.stack.world.database import PostgresDatabase


class Misset(msgspec.Struct, frozen=True, kw_only=True):
    """Services that are not the reference's, or not set as they should be.

    ``archiver``: what Python runs as the archiver. ``settings``: of the connector, over its own.
    ``schema_sql``: run as superuser in the application's database after its schema, before any capture.
    ``captured``: called once capture and archiver run, on each cluster. ``database``: the harness's own
    hold on the database. ``seen``: what the harness takes for the proof of a fault.
    """

    archiver: tuple[str, ...] = PROGRAM
    settings: Mapping[str, str] = {}
    schema_sql: Callable[[Schema], str] = lambda _: ""
    captured: Callable[[Stack], None] = lambda _: None
    database: type[PostgresDatabase] = PostgresDatabase
    seen: Callable[[Fault, Proof], Proof] = lambda _, proof: proof


AS_THEY_SHOULD_BE: Final = Misset()
