"""The reference system on the real pipeline: what was written comes back exactly, whatever was killed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from fixtures.every_type import TABLE, add_rows, as_sent, column_of, differences, schema_with_every_type
from fixtures.helpdesk_rows import add_country, add_tenant
from harness.drive.ports import Rows, World
from harness.generate.steps.moves import estate
from harness.generate.steps.sql import move
from harness.model.faults import LoseOffsets
from harness.model.history import Cut
from harness.model.position import Xid, parse_lsn
from harness.schemas import load
from harness.stack.options import StackOptions
from harness.stack.stack import Stack
from harness.stack.wait import wait_for, wait_until
from harness.stack.world.open import archive_config, open_world
from harness.subject.reference import process
from harness.subject.reference.adapters import kafka_feed, wiring
from harness.subject.reference.config import encode_config
from harness.subject.reference.ports import FeedEvent

pytestmark = pytest.mark.live

T = TypeVar("T")
LOADED = load("helpdesk")
SCHEMA = LOADED.schema
BEFORE, STREAMED, LOST, KILLED, TAKEN, NEIGHBOUR = "101", "102", "103", "104", "105", "106"
MERGED, HEIR = "107", "108"
RETYPED, DROPPED = "109", "110"
REACHES_S_MAX = 30.0
SNAPSHOT_ROWS = 8_000


class Pipeline:
    """A running stack that captures helpdesk, a table of every type in it; and one event loop for all."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.runner = asyncio.Runner()
        loaded = schema_with_every_type(folder / "schema")
        self.settings = archive_config(stack, loaded)
        self.subject = wiring.subject_of(self.settings)
        self.world: World = open_world(stack, loaded, self.subject)
        self.config = folder / "archiver.json"
        self.config.write_text(encode_config(self.settings))

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the module's loop."""
        return self.runner.run(coroutine)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run statements in one transaction as the application does."""
        with psycopg.connect(self.stack.endpoints.app_dsn) as session:
            cursor = session.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def add(self, *tenants: str) -> None:
        """Add whole tenants, one transaction each."""

        async def fill() -> None:
            session = await self.world.database.session("test")
            for tenant in tenants:
                await session.begin()
                await add_tenant(session, SCHEMA, tenant)
                assert (await session.commit()).outcome == "acked"
            await session.close()

        self.do(fill())

    def damage(self, text: str) -> Cut:
        """Run a script's transaction; return the cut before it."""
        with psycopg.connect(self.stack.endpoints.app_dsn) as session:
            lower = session.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            xid = session.execute("SELECT pg_current_xact_id()::text").fetchone()
            session.execute(text.encode())
        assert lower is not None
        assert xid is not None
        return Cut(epoch=self.epoch(), xid=int(xid[0]), lsn_lower=parse_lsn(lower[0]))

    def epoch(self) -> int:
        """Return the epoch of the running cluster."""
        cluster = self.do(self.world.database.cluster())
        return self.do(self.subject.epoch(cluster.system_id, cluster.timeline))

    def reach(self) -> None:
        """Wait until everything committed so far is in the archive."""
        (found,) = self.sql("SELECT pg_current_wal_lsn()::text")
        goal = parse_lsn(found[0])

        def reached() -> bool:
            mark = self.do(self.subject.watermark())
            return mark is not None and (mark.position.epoch, mark.position.lsn) >= (self.epoch(), goal)

        wait_until("the watermark is past what was committed", reached, limit_s=REACHES_S_MAX)

    def rows(self, tenant: str, place: Any = "live") -> dict[str, list[str]]:
        """Return a tenant's rows in a form that does not depend on their order."""
        found: Rows = self.do(self.world.database.read([tenant], place))[tenant]
        return {t: sorted(json.dumps(r, sort_keys=True) for r in rows) for t, rows in found.items()}

    def beside(self, tenant: str, cut: Cut = Cut()) -> dict[str, list[str]]:  # noqa: B008 - a value
        """Restore into a new scratch database and return what is there then."""
        self.do(self.world.database.reset_scratch())
        result = self.do(self.subject.restore(tenant, cut, "scratch"))
        assert result.result == "restored", result.detail
        return self.rows(tenant, "scratch")


@pytest.fixture(scope="module")
def pipeline(
    restoreproof_options: StackOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """A pipeline with one tenant from before the capture's start and five streamed ones."""
    folder = tmp_path_factory.mktemp("subject")
    with Stack.start(msgspec.structs.replace(restoreproof_options, logs=folder)) as stack:
        made = Pipeline(stack, folder)
        made.do(made.world.machinery.prepare(fresh=True))
        made.do(_country(made.world))
        made.add(BEFORE)
        add_rows(stack.endpoints.app_dsn, BEFORE, change=False)
        made.do(made.world.machinery.start_capture())
        add_rows(stack.endpoints.app_dsn, STREAMED, change=True)
        made.add(STREAMED, LOST, KILLED, TAKEN, NEIGHBOUR)
        yield made
        made.runner.close()


async def _country(world: World) -> None:
    session = await world.database.session("test")
    await session.begin()
    await add_country(session, SCHEMA)
    assert (await session.commit()).outcome == "acked"
    await session.close()


@pytest.mark.parametrize("tenant", [BEFORE, STREAMED])
def test_every_value_comes_back_as_it_was(pipeline: Pipeline, tenant: str) -> None:
    """By snapshot as by stream, of every type: as text, and in the form that the server sends.

    Drawn values and awkward ones: dates BC, infinities, NaN, arrays with NULLs; and what the connector
    says of a value that it lacks, as an application's text, bytes and elements (FM-37 to FM-39).
    """
    pipeline.reach()
    restored, live = pipeline.beside(tenant), pipeline.rows(tenant)
    places = (pipeline.stack.endpoints.app_dsn, pipeline.settings.scratch_dsn)
    assert differences(*(as_sent(dsn, tenant) for dsn in places)) == []
    assert restored == live


def test_updates_of_keys_and_of_toasted_rows_other_columns_are_followed(pipeline: Pipeline) -> None:
    """A changed key moves the row, a change beside a 2 MB value keeps it whole (FM-37, FM-45)."""
    pipeline.sql(
        f"UPDATE helpdesk.tickets SET number = 1003 WHERE tenant_id = {STREAMED} AND number = 3;"
        "UPDATE helpdesk.tickets SET priority = 'low', effort = '-1 day 00:00:01'"
        f" WHERE tenant_id = {STREAMED};"
        f"UPDATE helpdesk.audit SET entry = gen_random_uuid() WHERE tenant_id = {STREAMED};"
        f"UPDATE helpdesk.accounts SET born = '-infinity', nickname = NULL WHERE tenant_id = {STREAMED};"
        "UPDATE helpdesk.attachments SET note = '' FROM helpdesk.comments AS c, helpdesk.tickets AS t"
        f" WHERE c.id = comment_id AND t.id = c.ticket_id AND t.tenant_id = {STREAMED}"
    )
    pipeline.reach()
    assert pipeline.beside(STREAMED) == pipeline.rows(STREAMED)


def test_a_deleted_tenant_comes_back_in_place_alone(pipeline: Pipeline) -> None:
    """Just before the script's transaction, later rows set aside, the neighbour as it was; twice."""
    before, neighbour = pipeline.rows(LOST), pipeline.rows(NEIGHBOUR)
    for again in ("first", "second"):
        cut = pipeline.damage(f"SELECT helpdesk.delete_entity('{{{LOST}0}}', 'permanent')")
        pipeline.sql(f"INSERT INTO helpdesk.labels (tenant_id, name) VALUES ({LOST}, 'zombie {again}')")
        result = pipeline.do(pipeline.subject.restore(LOST, cut, "live"))
        assert result.result == "restored", result.detail
        assert [(row.table, row.row["name"]) for row in result.set_aside] == [
            ("helpdesk.labels", f"zombie {again}")
        ]
        assert pipeline.rows(LOST) == before
        assert pipeline.rows(NEIGHBOUR) == neighbour
        pipeline.reach()
        assert pipeline.beside(LOST) == before


def test_a_taken_natural_key_is_refused_in_place_and_works_beside(pipeline: Pipeline) -> None:
    """The refusal names both rows; nothing is changed by it."""
    before = pipeline.rows(TAKEN)
    cut = pipeline.damage(f"DELETE FROM helpdesk.tenants WHERE id = {TAKEN}")
    pipeline.sql(f"INSERT INTO helpdesk.tenants VALUES (990, '{TAKEN}', 'thief', '{{}}', now())")
    result = pipeline.do(pipeline.subject.restore(TAKEN, cut, "live"))
    assert result.result == "refused"
    assert f"'id': '{TAKEN}'" in result.detail
    assert "'id': '990'" in result.detail
    pipeline.reach()
    assert pipeline.beside(TAKEN, cut) == before


def test_rows_that_went_to_another_tenant_are_in_its_restore_and_come_back(pipeline: Pipeline) -> None:
    """A merge moves parents, and by no event all below them; without it the heir has its own rows only."""
    pipeline.add(MERGED)
    pipeline.sql(f"INSERT INTO helpdesk.tenants VALUES ({HEIR}, 'heir', 'heir', '{{}}', now())")
    merged, heir = pipeline.rows(MERGED), pipeline.rows(HEIR)
    cut = pipeline.damage(move(SCHEMA, estate(SCHEMA), MERGED, HEIR, ()))
    pipeline.sql(
        "INSERT INTO helpdesk.comments (ticket_id, body, posted_at)"
        f" SELECT id, 'afterwards', now() FROM helpdesk.tickets WHERE tenant_id = {HEIR} AND number = 1"
    )
    pipeline.reach()
    assert len(pipeline.rows(HEIR)["helpdesk.attachments"]) == 1
    assert pipeline.beside(HEIR) == pipeline.rows(HEIR)
    mistaken = Cut(without=(Xid(epoch=cut.epoch, xid=cut.xid),))
    assert pipeline.beside(HEIR, mistaken) == heir
    result = pipeline.do(pipeline.subject.restore(MERGED, cut, "live"))
    assert result.result == "restored", result.detail
    assert "afterwards" in [row.row["body"] for row in result.set_aside if row.table == "helpdesk.comments"]
    assert (pipeline.rows(MERGED), pipeline.rows(HEIR)) == (merged, heir)
    pipeline.reach()
    assert pipeline.beside(HEIR) == heir
    assert pipeline.beside(MERGED) == merged


@pytest.mark.parametrize("service", ["archiver", "connect"])
def test_a_kill_in_the_middle_of_writes_loses_nothing(pipeline: Pipeline, service: str) -> None:
    """kill -9 and a restart: every row is archived once (FM-46, FM-83)."""
    stop = threading.Event()
    written: list[str] = []

    def write() -> None:
        with psycopg.connect(pipeline.stack.endpoints.app_dsn, autocommit=True) as session:
            while not stop.is_set():
                name = f"{service}-{len(written)}"
                session.execute(
                    "INSERT INTO helpdesk.ledger (tenant_id, op) SELECT %s, %s || '.' || n"
                    " FROM generate_series(1, 20) AS n",
                    [KILLED, name],
                )
                written.append(name)
                stop.wait(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until("some were written", lambda: len(written) > 50, limit_s=30.0)
        pipeline.stack.kill(service)
        wait_until("some more were written", lambda: len(written) > 100, limit_s=30.0)
        pipeline.stack.restart(service)
        wait_until("yet some more were written", lambda: len(written) > 150, limit_s=30.0)
    finally:
        stop.set()
        writer.join()
    pipeline.reach()
    assert pipeline.beside(KILLED) == pipeline.rows(KILLED)
    assert process.verify(pipeline.config).ok


def test_restoring_is_quick_once_the_manifest_is_known(pipeline: Pipeline) -> None:
    """A small tenant follows its own size: well under a second, even on a busy machine."""
    pipeline.reach()
    pipeline.beside(NEIGHBOUR)
    began_s = time.monotonic()
    result = pipeline.do(pipeline.subject.restore(NEIGHBOUR, Cut(), "scratch"))
    assert result.result == "restored"
    assert time.monotonic() - began_s < 1.0


def test_the_commands_answer(pipeline: Pipeline) -> None:
    """Status, verify and a restore into another database, as their commands do them."""
    status = process.status(pipeline.config)
    assert status.epochs == 1
    assert status.exposure_s is not None
    assert 0 <= status.exposure_s < 30
    assert status.stopped is None
    assert status.state == "ok"
    assert status.pipeline in ("idle", "working")
    assert status.refused == ()
    assert status.slot_lag_bytes is not None
    verified = process.verify(pipeline.config)
    assert verified.problems == ()
    assert verified.segments == process.status(pipeline.config).segments or verified.segments > 0
    pipeline.do(pipeline.world.database.reset_scratch())
    result = process.restore(pipeline.config, NEIGHBOUR, Cut(), pipeline.settings.scratch_dsn)
    assert result.result == "restored", result.detail
    assert pipeline.rows(NEIGHBOUR, "scratch") == pipeline.rows(NEIGHBOUR)


def test_an_archive_cut_off_from_its_bucket_says_so(pipeline: Pipeline) -> None:
    """Breached as soon as the promise is over, though the bucket can't be asked; well again once healed."""
    config = pipeline.config.with_name("strict.json")
    config.write_text(encode_config(msgspec.structs.replace(pipeline.settings, promise_s=6.0)))
    pipeline.stack.cut("archiver-minio")
    try:
        wait_until("it is breached", lambda: process.status(config).state == "breached", limit_s=30.0)
        found = process.status(config)
    finally:
        pipeline.stack.heal("archiver-minio")
    assert found.pipeline == "heartbeat not arrived"
    assert found.archive is not None
    wait_until("it is well again", lambda: process.status(config).state == "ok", limit_s=30.0)


def test_an_incident_is_found_in_the_archive_and_undone_by_its_number(pipeline: Pipeline) -> None:
    """As an operator does it who knows nothing but that somebody's rows are gone; and so by the time."""
    before = pipeline.rows(NEIGHBOUR)
    (noted,) = pipeline.sql("SELECT clock_timestamp()")
    cut = pipeline.damage(f"DELETE FROM helpdesk.tenants WHERE id = {NEIGHBOUR}")
    pipeline.reach()
    found = process.incidents(pipeline.config)[-1]
    assert found.xid == f"{cut.epoch}:{cut.xid}"
    assert [(loss.tenant, loss.rows) for loss in found.losses] == [
        (NEIGHBOUR, sum(map(len, before.values())))
    ]
    by_time = process.cut_before_time(pipeline.config, NEIGHBOUR, noted[0].isoformat())
    assert found.xid in by_time.words
    assert pipeline.beside(NEIGHBOUR, by_time.cut) == before
    chosen = process.cut_of_incident(pipeline.config, found.number)
    result = process.restore(pipeline.config, NEIGHBOUR, chosen.cut)
    assert result.result == "restored", result.detail
    assert pipeline.rows(NEIGHBOUR) == before


def test_a_fresh_snapshot_stands_for_what_the_feed_has_lost(pipeline: Pipeline) -> None:
    """`archive resnapshot`: what was never archived is in it, and the archiver goes on (FM-76)."""
    pipeline.reach()
    pipeline.stack.kill("archiver")
    pipeline.sql(f"INSERT INTO helpdesk.labels (tenant_id, name) VALUES ({NEIGHBOUR}, 'passed over')")
    told = process.resnapshot(pipeline.config)
    assert told.offset > 0
    pipeline.stack.restart("archiver")
    pipeline.sql(f"INSERT INTO helpdesk.labels (tenant_id, name) VALUES ({NEIGHBOUR}, 'afterwards')")
    pipeline.reach()
    assert pipeline.beside(NEIGHBOUR) == pipeline.rows(NEIGHBOUR)
    assert pipeline.epoch() == 1
    assert process.verify(pipeline.config).ok


def test_a_connector_that_lost_its_offsets_stops_the_archiver(pipeline: Pipeline) -> None:
    """The snapshot that it takes by itself is not archived; one that is asked for is (FM-82)."""
    pipeline.reach()
    fault = LoseOffsets(phase="write", after_s=0.0, down_s=0.0)
    struck = pipeline.do(pipeline.world.machinery.disturb(fault))
    assert struck.seen, struck.words
    pipeline.sql(f"INSERT INTO helpdesk.labels (tenant_id, name) VALUES ({NEIGHBOUR}, 'unasked')")
    healed = pipeline.do(pipeline.world.machinery.heal(fault))
    assert healed.seen, healed.words
    assert "nobody asked for" in healed.words
    pipeline.sql(f"INSERT INTO helpdesk.labels (tenant_id, name) VALUES ({NEIGHBOUR}, 'asked')")
    pipeline.reach()
    assert pipeline.beside(NEIGHBOUR) == pipeline.rows(NEIGHBOUR)
    assert process.verify(pipeline.config).ok


def test_when_only_the_archive_survives_everything_comes_back(pipeline: Pipeline) -> None:
    """Onto a fresh cluster: schema, publication and identities first, then tenants, then a new epoch."""
    pipeline.reach()
    tenants = [BEFORE, STREAMED, LOST, KILLED, NEIGHBOUR]
    before = {tenant: pipeline.rows(tenant) for tenant in tenants}
    digest = pipeline.do(pipeline.world.database.catalogue_digest("live"))
    next_values = pipeline.do(pipeline.world.database.next_values("live"))
    pipeline.do(pipeline.world.machinery.destroy())
    pipeline.do(pipeline.world.machinery.rebuild())
    for tenant in tenants:
        result = pipeline.do(pipeline.subject.restore(tenant, Cut(), "live"))
        assert result.result == "restored", result.detail
    assert {tenant: pipeline.rows(tenant) for tenant in tenants} == before
    assert pipeline.do(pipeline.world.database.catalogue_digest("live")) == digest
    after = pipeline.do(pipeline.world.database.next_values("live"))
    assert all(after[name] >= next_values[name] for name in next_values)
    pipeline.do(pipeline.world.machinery.start_capture())
    assert pipeline.epoch() == 2
    pipeline.sql(f"INSERT INTO helpdesk.labels (tenant_id, name) VALUES ({NEIGHBOUR}, 'after')")
    pipeline.reach()
    assert pipeline.beside(NEIGHBOUR) == pipeline.rows(NEIGHBOUR)


INVOICES = f"""\
SELECT reference, amount::text, rate::text, {{}} FROM helpdesk.invoices WHERE tenant_id = {NEIGHBOUR}"""


def test_restores_reach_across_changed_columns(pipeline: Pipeline) -> None:
    """Added, dropped, renamed, retyped columns, rewritten rows: in place, beside now, beside as of then."""
    mine, old, new = NEIGHBOUR, INVOICES.format("memo"), INVOICES.format("remark, vat")
    before = sorted(pipeline.sql(old))
    assert before
    cut = pipeline.damage(f"DELETE FROM helpdesk.invoices WHERE tenant_id = {mine}")
    pipeline.sql(
        "ALTER TABLE helpdesk.invoices ADD COLUMN vat integer NOT NULL DEFAULT 19, DROP COLUMN paid_at;"
        "ALTER TABLE helpdesk.invoices RENAME COLUMN memo TO remark;"
        "ALTER TABLE helpdesk.invoices ALTER COLUMN rate TYPE text USING rate::text;"
        "ALTER TYPE helpdesk.priority ADD VALUE 'meh'"
    )
    pipeline.reach()
    result = pipeline.do(pipeline.subject.restore(mine, cut, "live"))
    assert result.result == "restored", result.detail
    assert [row[:-1] for row in sorted(pipeline.sql(new))] == before
    assert {row[-1] for row in pipeline.sql(new)} == {19}
    pipeline.sql(
        "ALTER TABLE helpdesk.invoices ALTER COLUMN amount TYPE text USING 'EUR ' || amount;"
        f"UPDATE helpdesk.invoices SET remark = 'after' WHERE tenant_id = {mine}"
    )
    pipeline.reach()
    assert process.status(pipeline.config).stopped is None
    for at, query in ((Cut(), new), (cut, old)):
        pipeline.do(pipeline.world.database.reset_scratch())
        result = pipeline.do(pipeline.subject.restore(mine, at, "scratch"))
        assert result.result == "restored", result.detail
        with psycopg.connect(pipeline.settings.scratch_dsn) as session:
            found = sorted(session.execute(query.encode()).fetchall())
        assert found == (sorted(pipeline.sql(new)) if query is new else before)


def test_a_client_that_stands_still_is_replaced(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of it: a paused partition is as silent as one whose broker was fenced a moment."""
    monkeypatch.setattr(kafka_feed, "SILENT_S", 0.5)
    settings = msgspec.structs.replace(pipeline.settings, kafka_group="another reader")

    async def read() -> tuple[int, int]:
        feed, events = wiring.feed_of(settings), list[FeedEvent]()
        begin = await feed.start()
        feed._consumer.pause([TopicPartition(settings.topic, 0)])
        async with asyncio.timeout(REACHES_S_MAX):
            while not events:
                events += await feed.read(limit=10, wait_s=0.1)
        await feed.close()
        return begin.offset, events[0].offset

    begin, first = pipeline.do(read())
    assert begin == first


def test_values_of_a_type_that_is_gone_while_their_table_stays_come_back(pipeline: Pipeline) -> None:
    """Their column has another type by now, and a default of that, which is no row's."""
    retyped = "ALTER TABLE {0} ALTER {1} TYPE text, ALTER {1} SET DEFAULT 'low';"
    enums = (("helpdesk.tickets", "priority"), (TABLE, column_of("helpdesk.priority")))
    pipeline.do(pipeline.world.machinery.prepare(fresh=True))  # others have changed columns
    pipeline.do(_country(pipeline.world))
    pipeline.do(pipeline.world.machinery.start_capture())
    with capture_stopped(pipeline.stack):
        pipeline.add(RETYPED)
        before = pipeline.rows(RETYPED)
        cut = pipeline.damage(
            "".join(retyped.format(*one) for one in enums) + "DROP TYPE helpdesk.priority"
        )
        assert pipeline.rows(RETYPED) == before
    pipeline.reach()
    assert pipeline.beside(RETYPED, cut) == before


def test_values_of_types_that_are_gone_come_back_as_they_were(pipeline: Pipeline) -> None:
    """The connector comes to rows of domains over every type after these were dropped."""
    places = (pipeline.stack.endpoints.app_dsn, pipeline.settings.scratch_dsn)
    pipeline.reach()
    with capture_stopped(pipeline.stack):
        pipeline.add(DROPPED)
        add_rows(places[0], DROPPED, change=True)
        live, sent = pipeline.rows(DROPPED), as_sent(places[0], DROPPED)
        cut = pipeline.damage("DROP SCHEMA helpdesk CASCADE")
    pipeline.reach()
    assert pipeline.beside(DROPPED, cut) == live
    assert differences(sent, as_sent(places[1], DROPPED)) == []


@contextmanager
def capture_stopped(stack: Stack) -> Iterator[None]:
    """Have the connector stopped meanwhile, so that it comes to what happens here later."""
    client, name = stack.capture.client, stack.endpoints.connector
    client.stop(name)
    wait_for("it is stopped", lambda: client.expect_stopped(name), limit_s=REACHES_S_MAX)
    yield
    client.resume(name)


def test_a_disabled_event_trigger_stops_the_archiver(pipeline: Pipeline) -> None:
    """Nobody tells of DDL any more; the digest in the heartbeats gives it away, and the reason is said."""
    with psycopg.connect(pipeline.settings.restorer_dsn, autocommit=True) as session:
        session.execute("ALTER EVENT TRIGGER restoreproof_ddl DISABLE")
    wait_until(
        "the archiver says why it stopped",
        lambda: "nobody said so" in (process.status(pipeline.config).stopped or ""),
        limit_s=REACHES_S_MAX,
    )
    assert process.status(pipeline.config).state == "stopped"


@pytest.mark.containers
def test_a_snapshot_killed_midway_counts_for_nothing(pipeline: Pipeline) -> None:
    """The capture begins it again; rows deleted between the two tries do not come back (FM-53).

    ``test_snapshot`` does it on the local host, with a whole drill around it.
    """
    pipeline.do(pipeline.world.machinery.prepare(fresh=True))
    pipeline.sql(
        "INSERT INTO helpdesk.tenants (id, slug, name, created_at)"
        " VALUES (1, '1', '', now()), (2, '2', '', now());"
        "INSERT INTO helpdesk.ledger"
        f" SELECT 1 + n % 2, repeat('x', 400) || n FROM generate_series(1, {SNAPSHOT_ROWS}) AS n"
    )
    killer = threading.Thread(target=_kill_capture_midway, args=[pipeline])
    killer.start()
    pipeline.do(pipeline.world.machinery.start_capture())
    killer.join()
    pipeline.reach()
    for tenant in ("1", "2"):
        restored = pipeline.beside(tenant)
        assert restored == pipeline.rows(tenant)
        assert len(restored["helpdesk.ledger"]) in (SNAPSHOT_ROWS // 2 - 1, SNAPSHOT_ROWS // 2)
    assert process.verify(pipeline.config).ok


def _kill_capture_midway(pipeline: Pipeline) -> None:
    """Kill Connect when some of the snapshot's records are in the topic, delete a row, start it again."""
    names = pipeline.stack.endpoints
    place = TopicPartition(names.topic, 0)
    consumer = Consumer({"bootstrap.servers": names.kafka_direct, "group.id": "test", "log_level": 0})

    def records() -> int:
        return int(consumer.get_watermark_offsets(place, timeout=5)[1])

    try:
        wait_until(
            "a part of the snapshot is in the topic", lambda: records() > SNAPSHOT_ROWS // 8, limit_s=60.0
        )
        pipeline.stack.kill("connect")
        assert records() < SNAPSHOT_ROWS
        pipeline.sql(f"DELETE FROM helpdesk.ledger WHERE op LIKE '%x{SNAPSHOT_ROWS}'")
        pipeline.stack.restart("connect")
    finally:
        consumer.close()
