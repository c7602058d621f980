"""DDL on a real Postgres: what event triggers tell, and what a restore rebuilds of a schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from fixtures.postgres import MakeDatabase, TestDatabase
from harness.schemas import load
from harness.stack.programs import locate
from harness.stack.services import postgres
from harness.stack.wait import wait_until
from harness.stack.world.database import PostgresDatabase
from harness.subject.reference import capture_sql
from harness.subject.reference.adapters.lint import lint
from harness.subject.reference.adapters.postgres_target import PostgresTarget
from harness.subject.reference.adapters.source import PostgresSource

pytestmark = pytest.mark.live

LOADED = load("helpdesk")
SCHEMA = LOADED.schema
SLOT = "ddl"
ROWS = """\
INSERT INTO helpdesk.tenants VALUES (1, 'a', 'a', '{}', now());
INSERT INTO helpdesk.audit SELECT 1, gen_random_uuid(), now(), 'x', NULL FROM generate_series(1, 40)
"""


@pytest.fixture
def place(make_database: MakeDatabase) -> TestDatabase:
    """A database with the helpdesk schema, prepared for capture twice over."""
    made = make_database(LOADED)
    postgres.run_sql(made.admin, capture_sql(SCHEMA))
    return made


Message = tuple[str, dict[str, object]]


@contextmanager
def decoding(place: TestDatabase) -> Iterator[Callable[[], list[Message]]]:
    """Decode the WAL from here on; give what returns the messages that were in it."""
    with psycopg.connect(place.admin, autocommit=True) as admin:
        admin.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [SLOT])

        def messages() -> list[Message]:
            changes = admin.execute("SELECT data FROM pg_logical_slot_get_changes(%s, NULL, NULL)", [SLOT])
            lines = [str(row[0]) for row in changes if str(row[0]).startswith("message")]
            heads = (line.partition(" content:") for line in lines)
            return [(head.split("prefix: ")[1].split(",")[0], json.loads(body)) for head, _, body in heads]

        try:
            yield messages
        finally:
            admin.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])


def told(place: TestDatabase, *statements: str, dsn: str | None = None) -> list[Message]:
    """Run statements as the application, or by ``dsn``; return what logical decoding has of messages."""
    with decoding(place) as messages, psycopg.connect(dsn or place.app, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())
        return messages()


def dump(place: TestDatabase) -> tuple[str, str]:
    """Return the schema as DDL, and its digest."""
    source = PostgresSource(dsn=place.admin, pg_dump=str(locate().postgres_bin / "pg_dump"))
    found = asyncio.run(source.dump_schema())
    assert found is not None
    return found.ddl, found.catalogue


def digest(place: TestDatabase) -> str:
    """Return the harness's own digest of the catalogue."""
    database = PostgresDatabase(schema=SCHEMA, app_dsn=place.app, admin_dsn=place.admin)
    return asyncio.run(database.catalogue_digest("live"))


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE helpdesk.labels, helpdesk.ticket_labels",
        "DROP TABLE helpdesk.audit",
        "DROP TABLE helpdesk.audit_2",
        "DROP TABLE helpdesk.tickets, helpdesk.comments, helpdesk.attachments, helpdesk.ticket_labels",
        "DROP SCHEMA helpdesk CASCADE",
    ],
)
def test_a_dropped_table_comes_back_with_all_that_hung_on_it(place: TestDatabase, statement: str) -> None:
    """Keys, identities, triggers, partitions, membership, owner: both digests are as before, and again."""
    (ddl, catalogue), before = dump(place), digest(place)
    postgres.run_sql(place.app, statement)
    assert digest(place) != before
    target = PostgresTarget(dsn=place.admin, schema=SCHEMA)
    assert asyncio.run(target.catalogue_digest()) == dump(place)[1] != catalogue
    for _ in range(2):
        asyncio.run(target.build_schema(ddl, {}))
        assert digest(place) == before
    assert asyncio.run(target.catalogue_digest()) == dump(place)[1] == catalogue
    assert lint(place.admin, SCHEMA) == []


def test_a_foreign_key_to_a_dropped_table_is_validated_once_its_rows_are_back(place: TestDatabase) -> None:
    """DROP CASCADE leaves children behind: their key comes back at once, and valid with the last parent."""
    with psycopg.connect(place.app, autocommit=True) as session:
        session.execute(ROWS.encode())
        session.execute(
            "INSERT INTO helpdesk.labels (tenant_id, name) VALUES (1, 'l');"
            "CREATE TABLE helpdesk.marks (label bigint REFERENCES helpdesk.labels);"
            "INSERT INTO helpdesk.marks SELECT id FROM helpdesk.labels"
        )
        (ddl, _), before = dump(place), digest(place)
        (label,) = session.execute("SELECT * FROM helpdesk.labels").fetchall()
        session.execute("DROP TABLE helpdesk.labels CASCADE")
        target = PostgresTarget(dsn=place.admin, schema=SCHEMA)
        asyncio.run(target.build_schema(ddl, {"helpdesk.labels.id": 41, "helpdesk.nothing.id": 1}))
        assert digest(place) != before
        anew = session.execute("INSERT INTO helpdesk.labels (tenant_id, name) VALUES (1, 'm') RETURNING id")
        assert anew.fetchall() == [(42,)]
        session.execute(
            "INSERT INTO helpdesk.labels OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s)", label
        )
        asyncio.run(target.build_schema(ddl, {}))
        assert digest(place) == before


def test_a_drop_is_told_in_its_transaction_with_the_digest_at_the_end(place: TestDatabase) -> None:
    """Whatever went with it by CASCADE too; a temporary table is nobody's business."""
    (first, second) = told(
        place, "DROP TABLE helpdesk.tickets CASCADE", "CREATE TEMP TABLE t (x int); DROP TABLE t"
    )
    assert first == ("restoreproof.ddl", {"tag": "DROP TABLE", "dropped": ["helpdesk.tickets"]})
    assert (second[1]["tag"], second[1]["catalogue"]) == ("DROP TABLE", dump(place)[1])
    left = {table.name for table in SCHEMA.tables} - {"helpdesk.tickets"}
    assert set(second[1]["tables"]) == left  # type: ignore[call-overload]  # a JSON array


def test_what_a_lost_partition_leaves_is_told_anew(place: TestDatabase) -> None:
    """The table is cleared and every row that stayed is told, before the digest."""
    with psycopg.connect(place.app, autocommit=True) as session:
        session.execute(ROWS.encode())
        messages = told(place, "ALTER TABLE helpdesk.audit DETACH PARTITION helpdesk.audit_1")
        stayed = session.execute("SELECT entry::text FROM helpdesk.audit").fetchall()
    assert 0 < len(stayed) < 40
    kinds = [prefix.removeprefix("restoreproof.") for prefix, _ in messages]
    assert kinds == ["clear", *["row"] * len(stayed), "ddl"]
    rows = [body["row"] for prefix, body in messages if prefix.endswith("row")]
    assert {(row["entry"],) for row in rows} == set(stayed)  # type: ignore[index]  # a JSON object


def test_what_is_published_again_is_told_anew(place: TestDatabase) -> None:
    """Rows written while a table was out of the publication are in no event; they are told now (FM-33)."""
    postgres.run_sql(place.admin, "ALTER PUBLICATION restoreproof_pub DROP TABLE helpdesk.labels")
    postgres.run_sql(
        place.app,
        "INSERT INTO helpdesk.tenants VALUES (1, 'a', 'a', '{}', now());"
        "INSERT INTO helpdesk.labels (tenant_id, name) VALUES (1, 'unseen')",
    )
    messages = told(place, capture_sql(SCHEMA), dsn=place.admin)
    rows = [body["row"] for prefix, body in messages if prefix.endswith("row")]
    assert [row["name"] for row in rows] == ["unseen"]  # type: ignore[index]  # a JSON object
    assert [body for prefix, body in messages if prefix.endswith("clear")] == [{"table": "helpdesk.labels"}]


def test_publishing_a_table_again_waits_for_who_writes_to_it(place: TestDatabase) -> None:
    """A row of a transaction that was open meanwhile is in no event; it is told with the others (FM-33)."""
    postgres.run_sql(place.app, "INSERT INTO helpdesk.tenants VALUES (1, 'a', 'a', '{}', now())")
    postgres.run_sql(place.admin, "ALTER PUBLICATION restoreproof_pub DROP TABLE helpdesk.labels")
    with (
        ThreadPoolExecutor(1) as thread,
        decoding(place) as messages,
        psycopg.connect(place.app) as writing,
    ):
        writing.execute("INSERT INTO helpdesk.labels (tenant_id, name) VALUES (1, 'open')")
        publishing = thread.submit(postgres.run_sql, place.admin, capture_sql(SCHEMA))
        wait_until("publishing waits for the writer", lambda: somebody_waits(place), limit_s=10.0)
        writing.commit()
        publishing.result(timeout=10.0)
        rows = [body["row"] for prefix, body in messages() if prefix.endswith("row")]
    assert [row["name"] for row in rows] == ["open"]  # type: ignore[index]  # a JSON object


def somebody_waits(place: TestDatabase) -> bool:
    """Whether a session in the database waits for another one's lock on a table."""
    with psycopg.connect(place.admin, autocommit=True) as admin:
        found = admin.execute(
            "SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'relation' AND NOT granted AND datname = current_database()"
        )
        return found.fetchone() is not None


def test_a_new_partition_has_full_images_at_once(place: TestDatabase) -> None:
    """ALTER on the root leaves later leaves at DEFAULT: the event trigger sees to them (FM-40)."""
    postgres.run_sql(
        place.app,
        "DROP TABLE helpdesk.audit_3; CREATE TABLE helpdesk.audit_3 PARTITION OF helpdesk.audit"
        " FOR VALUES WITH (MODULUS 4, REMAINDER 3)",
    )
    assert lint(place.admin, SCHEMA) == []


def test_a_failing_event_trigger_never_stands_in_the_way(place: TestDatabase) -> None:
    """The DDL goes through with a warning; the digest tells what was not said."""
    catalogue = dump(place)[1]
    postgres.run_sql(place.admin, "ALTER TABLE restoreproof.ddl RENAME TO ddl_gone")
    messages = told(place, "ALTER TABLE helpdesk.labels ADD COLUMN more text")
    assert not any("catalogue" in body for _, body in messages)
    assert dump(place)[1] != catalogue
