"""Starting, breaking and rebuilding the services of a drill, over one running stack.

The stack is synchronous; its calls run in threads, so that writers and listings go on meanwhile. What is
known of the stack's state is kept here: whether the schema is loaded and whether capture runs.
"""

from __future__ import annotations

import asyncio

from harness.drive.ports import Clock, Proof, Rejoining
from harness.model.errors import TimedOut
from harness.model.faults import Fault
from harness.schemas import LoadedSchema
from harness.stack.identity import ARCHIVER, DEBEZIUM
from harness.stack.service import Fact
from harness.stack.stack import Stack
from harness.stack.wait import NotYet
from harness.stack.world.bucket import MinioBucket
from harness.stack.world.database import PostgresDatabase
from harness.stack.world.faults import Disturber
from harness.stack.world.misset import AS_THEY_SHOULD_BE, Misset
from harness.subject.port import Subject
from harness.subject.reference import capture_sql
from harness.subject.reference.adapters.lint import lint, refuse
from harness.subject.reference.config import ArchiveConfig, encode_config
from harness.subject.reference.connector import connector_settings

EPOCH_S_MAX = 60.0
POLL_S = 0.1


class StackMachinery:
    """The services behind one drill (``drive.ports.Machinery``).

    ``config``: what the archiver is told. ``watch``: listings of the bucket, of its own. ``misset``: what
    is planted.
    """

    def __init__(  # noqa: PLR0913 - each is a part of what it runs
        self,
        *,
        stack: Stack,
        loaded: LoadedSchema,
        database: PostgresDatabase,
        subject: Subject,
        clock: Clock,
        watch: MinioBucket,
        config: ArchiveConfig,
        misset: Misset = AS_THEY_SHOULD_BE,
    ) -> None:
        self._stack = stack
        self._loaded = loaded
        self._database = database
        self._subject = subject
        self._clock = clock
        self._watch = watch
        self._config = config
        self._misset = misset
        self._has_cluster = True
        self._captures = False
        self._alone = False
        self._catalogue = ""
        self._disturber = Disturber(stack, watch, config, lambda: self._has_cluster)

    async def prepare(self, *, fresh: bool) -> None:
        """Make a cluster with the schema run; a fresh one replaces what was captured before.

        Raises LintRefused for a schema that can't be carried.
        """
        there = await self._database.tables_there() if self._has_cluster else 0
        fresh = fresh or (self._captures and not await self._is_as_captured())
        if 0 < there < len(self._loaded.schema.tables) or (fresh and (there or self._captures)):
            await self.destroy()
        if not self._has_cluster:
            await self.rebuild()
            there = 0
        if not there:
            await asyncio.to_thread(self._load_schema)
        if self._alone:
            await self.rejoin("base backup")

    async def _is_as_captured(self) -> bool:
        """Whether the catalogue is as it was when its capture began, whatever scripts did since."""
        return await self._database.catalogue_digest("live") == self._catalogue

    async def start_capture(self) -> None:
        """Start capture and archiver side by side; returns once the archive knows this cluster."""
        if self._captures and self._stack.is_running("archiver"):
            return
        if self._captures:
            await asyncio.to_thread(self._stack.restart, "archiver")
            return
        await asyncio.to_thread(self._prepare_capture)
        await asyncio.gather(
            asyncio.to_thread(self._start_connector),
            asyncio.to_thread(self._start_archiver),
        )
        await self._known_to_archive()
        await asyncio.to_thread(self._misset.captured, self._stack)
        self._catalogue = await self._database.catalogue_digest("live")
        self._captures = True

    def available(self, fault: Fault) -> str:
        """Return why this host can't do a fault, or an empty text."""
        return self._disturber.available(fault)

    async def disturb(self, fault: Fault) -> Proof:
        """Inject a fault."""
        proof = await asyncio.to_thread(self._disturber.disturb, fault)
        return self._misset.seen(fault, proof)

    async def heal(self, fault: Fault) -> Proof:
        """Undo a fault."""
        return await asyncio.to_thread(self._disturber.heal, fault, destroyed=not self._has_cluster)

    async def destroy(self) -> tuple[str, ...]:
        self._captures = self._has_cluster = self._alone = False
        return await asyncio.to_thread(self._stack.strike_all_but_archive)

    def refuses_failover(self) -> str:
        """Return why the connector's slot would be lost with the primary, or an empty text."""
        return self._stack.refuses_failover()

    async def strike_primary(self, *, fenced: bool) -> tuple[str, ...]:
        """Kill the primary; raises, before anything is done, BadInput or HarnessFailed."""
        await asyncio.to_thread(self._stack.strike_primary, "fenced" if fenced else "killed")
        self._alone = True
        return ("primary",)

    async def promote(self) -> None:
        """Promote the standby behind the same addresses."""
        await asyncio.to_thread(self._stack.take_over)

    async def resume_capture(self) -> None:
        """Wait for the connector to go on there."""
        await asyncio.to_thread(self._stack.resume_capture)

    async def rejoin(self, by: Rejoining) -> None:
        """Have the other node follow, its slot synced."""
        await asyncio.to_thread(self._stack.rejoin, by)
        self._alone = False

    async def rebuild(self) -> None:
        await asyncio.to_thread(self._stack.destroy_all_but_archive)
        await asyncio.to_thread(self._stack.fresh_cluster)
        self._has_cluster = True

    def _load_schema(self) -> None:
        self._stack.load_schema(self._loaded.sql)
        if sql := self._misset.schema_sql(self._loaded.schema):
            self._stack.load_capture_sql(sql)
        refuse(lint(self._stack.endpoints.admin_dsn, self._loaded.schema, prepared=False))

    def _prepare_capture(self) -> None:
        names, schema = self._stack.endpoints, self._loaded.schema
        self._stack.load_capture_sql(
            capture_sql(schema, publication=names.publication, heartbeat_role=ARCHIVER)
        )
        refuse(lint(names.admin_dsn, schema, publication=names.publication, capture_role=DEBEZIUM))

    def _start_connector(self) -> None:
        settings = connector_settings(self._loaded.schema)
        self._stack.start_capture({**settings, **self._misset.settings})

    def _start_archiver(self) -> None:
        self._watch.look()
        wrote = Fact(words="the archiver has written to the bucket", probe=self._expect_new_object)
        self._stack.start_archiver(encode_config(self._config), wrote, self._misset.archiver)

    def _expect_new_object(self) -> None:
        if not any(seen.key not in self._watch.foreign for seen in self._watch.look()):
            raise NotYet("no new object in the bucket")

    async def _known_to_archive(self) -> None:
        """Wait until a heartbeat of this cluster is in the bucket, so that the archive has its epoch."""
        cluster = await self._database.cluster()
        began_s = self._clock.now_s()
        while not await self._subject.epoch(cluster.system_id, cluster.timeline):
            spent_s = self._clock.now_s() - began_s
            if spent_s > EPOCH_S_MAX:
                raise TimedOut(f"a heartbeat of {cluster} is in the bucket", spent_s, "none")
            await self._clock.sleep(POLL_S)
