"""The swap on a real Postgres: only the tenant's rows, only what differs, and nothing fires."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest

from fixtures.helpdesk_rows import add_country, add_tenant
from fixtures.postgres import MakeDatabase, TestDatabase
from harness.drive.ports import Rows
from harness.model.errors import RestoreRefused, SubjectFailed
from harness.model.values import RawRow
from harness.schemas import load
from harness.stack.world.database import PostgresDatabase
from harness.subject.reference.adapters import postgres_target
from harness.subject.reference.adapters.postgres_target import PostgresTarget
from harness.subject.reference.adapters.sessions import Session, open_session
from harness.subject.reference.format import SchemaRef
from harness.subject.reference.ports import SchemaMissing, Swap, Swapped

pytestmark = pytest.mark.live

LOADED = load("helpdesk")
SCHEMA = LOADED.schema
NO_SCHEMA = SchemaRef(number=1, key="", version="", sha256="")


class Bench:
    """A database with two whole tenants, 7 and 8, and a target over it."""

    def __init__(self, place: TestDatabase) -> None:
        self.place = place
        self.database = PostgresDatabase(schema=SCHEMA, app_dsn=place.app, admin_dsn=place.admin)
        self.target = PostgresTarget(dsn=place.admin, schema=SCHEMA)
        self.rows: Rows = {}

    async def fill(self) -> None:
        """Commit both tenants, and remember the first one's rows."""
        session = await self.database.session("test")
        await session.begin()
        await add_country(session, SCHEMA)
        for tenant in ("7", "8"):
            await add_tenant(session, SCHEMA, tenant)
        assert (await session.commit()).outcome == "acked"
        await session.close()
        self.rows = await self.read()

    async def read(self, tenant: str = "7") -> Rows:
        """Return a tenant's rows."""
        return (await self.database.read([tenant], "live"))[tenant]

    async def swap(
        self,
        rows: Mapping[str, Sequence[RawRow]] | None = None,
        *,
        shared: Mapping[str, Sequence[RawRow]] | None = None,
        high: Mapping[str, int] | None = None,
    ) -> Swapped:
        """Swap tenant 7's rows as they were, or others, in."""
        swap = Swap(
            tenant="7",
            rows=self.rows if rows is None else rows,
            shared=shared or {},
            high=high or {},
            set_aside=True,
            schema=NO_SCHEMA,
        )
        return await self.target.swap(swap)

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Run SQL as superuser."""
        with psycopg.connect(self.place.admin, autocommit=True) as session:
            cursor = session.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


Test = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def place(make_database: MakeDatabase) -> TestDatabase:
    """A database with the helpdesk schema, prepared for capture."""
    return make_database(LOADED)


def run(place: TestDatabase, test: Test) -> None:
    """Run a test in an event loop, both tenants there."""

    async def main() -> None:
        bench = Bench(place)
        await bench.fill()
        await test(bench)

    asyncio.run(main())


def in_order(rows: Rows) -> dict[str, list[str]]:
    """Return rows in a form that does not depend on their order."""
    return {table: sorted(json.dumps(r, sort_keys=True) for r in found) for table, found in rows.items()}


@pytest.mark.parametrize("few_chars", [postgres_target.FEW_CHARS_MAX, 0], ids=["few", "many"])
def test_a_deleted_tenant_comes_back_value_for_value(
    place: TestDatabase, few_chars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of value, generated columns recomputed, ids as they were; by INSERT and by COPY."""
    monkeypatch.setattr(postgres_target, "FEW_CHARS_MAX", few_chars)

    async def test(bench: Bench) -> None:
        bench.run("SELECT helpdesk.delete_entity('{70}', 'permanent')")
        bench.run("DELETE FROM helpdesk.tenants WHERE id = 7")
        swapped = await bench.swap()
        assert in_order(await bench.read()) == in_order(bench.rows)
        assert swapped.rows == sum(map(len, bench.rows.values()))
        assert swapped.set_aside == ()

    run(place, test)


def test_a_second_swap_changes_nothing(place: TestDatabase) -> None:
    """Restores may be run again (FM-104); not even a row version is new."""

    async def test(bench: Bench) -> None:
        where = "SELECT xmin FROM helpdesk.tickets UNION ALL SELECT xmin FROM helpdesk.accounts"
        before = bench.run(where)
        swapped = await bench.swap()
        assert bench.run(where) == before
        assert swapped.set_aside == ()

    run(place, test)


def test_later_rows_are_set_aside_value_for_value(place: TestDatabase) -> None:
    """What the application wrote after the cut is kept, in the table of ours and in the answer."""

    async def test(bench: Bench) -> None:
        bench.run("INSERT INTO helpdesk.labels (tenant_id, name) VALUES (7, 'later')")
        bench.run("UPDATE helpdesk.sites SET title = 'renamed' WHERE id = 70")
        later = await bench.read()
        swapped = await bench.swap()
        assert in_order(await bench.read()) == in_order(bench.rows)
        aside = dict(swapped.set_aside)
        assert aside["helpdesk.sites"] == later["helpdesk.sites"][0]
        assert aside["helpdesk.labels"]["name"] == "later"
        kept = bench.run("SELECT tenant, table_name, row FROM restoreproof.set_aside ORDER BY table_name")
        assert kept == [("7", table, aside[table]) for table in sorted(aside)]

    run(place, test)


def test_neighbours_and_plumbing_are_not_touched(place: TestDatabase) -> None:
    """No cascade, no trigger, no outbox row, no other tenant's row version (FM-97, FM-101)."""

    async def test(bench: Bench) -> None:
        bench.run("DELETE FROM helpdesk.tenants WHERE id = 7")
        look = (
            "SELECT xmin::text, id::text FROM helpdesk.tickets WHERE tenant_id = 8"
            " UNION ALL SELECT xmin::text, op FROM helpdesk.ledger WHERE tenant_id = 8"
            " UNION ALL SELECT xmin::text, id::text FROM helpdesk.outbox"
        )
        before = bench.run(look)
        await bench.swap()
        assert bench.run(look) == before

    run(place, test)


def test_a_taken_natural_key_is_refused_naming_both_rows(place: TestDatabase) -> None:
    """Another tenant has the slug now (FM-12): nothing is changed."""

    async def test(bench: Bench) -> None:
        bench.run("DELETE FROM helpdesk.tenants WHERE id = 7")
        bench.run("INSERT INTO helpdesk.tenants VALUES (99, '7', 'thief', '{}', now())")
        with pytest.raises(RestoreRefused, match=r"helpdesk\.tenants.*'id': '7'.*'id': '99'"):
            await bench.swap()
        assert not any((await bench.read()).values())

    run(place, test)


def test_a_taken_key_in_a_partition_is_refused_by_its_table(place: TestDatabase) -> None:
    """The leaf that complains is not what the user knows."""

    async def test(bench: Bench) -> None:
        rows = dict(bench.rows)
        rows["helpdesk.audit"] = [*rows["helpdesk.audit"], rows["helpdesk.audit"][0]]
        bench.run("DELETE FROM helpdesk.audit WHERE tenant_id = 7")
        with pytest.raises(RestoreRefused, match=r"helpdesk\.audit: archived row"):
            await bench.swap(rows)

    run(place, test)


def test_a_row_without_its_parent_is_refused(place: TestDatabase) -> None:
    """Foreign keys do not fire for a replica, so they are checked by hand (FM-100)."""

    async def test(bench: Bench) -> None:
        bench.run("DELETE FROM helpdesk.tenants WHERE id = 7")
        rows = {**bench.rows, "helpdesk.projects": []}
        with pytest.raises(RestoreRefused, match=r"would refer to a row of helpdesk\.projects"):
            await bench.swap(rows)

    run(place, test)


def test_a_row_of_anybody_that_refers_to_what_would_go_is_refused(place: TestDatabase) -> None:
    """Removing a lookup row or a parent under somebody else's feet is no restore."""

    async def test(bench: Bench) -> None:
        rows = {**bench.rows, "helpdesk.tenants": []}
        with pytest.raises(RestoreRefused, match="missing"):
            await bench.swap(rows)
        assert in_order(await bench.read()) == in_order(bench.rows)

    run(place, test)


def test_absent_shared_rows_are_added_and_present_ones_left(place: TestDatabase) -> None:
    """A changed lookup row stays as it is today."""

    async def test(bench: Bench) -> None:
        bench.run("UPDATE helpdesk.countries SET name = 'today' WHERE code = 'AQ'")
        countries: list[RawRow] = [
            {"code": "AQ", "name": "then", "dialling": None},
            {"code": "FR", "name": "France", "dialling": ""},
        ]
        swapped = await bench.swap(shared={"helpdesk.countries": countries})
        assert swapped.shared_added == {"helpdesk.countries": 1}
        assert bench.run("SELECT * FROM helpdesk.countries ORDER BY code") == [
            ("AQ", "today", None),
            ("FR", "France", ""),
        ]

    run(place, test)


def test_sequences_go_past_everything_archived_and_never_back(place: TestDatabase) -> None:
    """The application's next insert can't collide (FM-102)."""

    async def test(bench: Bench) -> None:
        await bench.swap(high={"helpdesk.labels.id": 500, "helpdesk.invoices.id": 1})
        (label,) = bench.run("INSERT INTO helpdesk.labels (tenant_id, name) VALUES (7, 'n') RETURNING id")
        assert label == (501,)
        await bench.swap(high={"helpdesk.labels.id": 400})
        (label,) = bench.run("INSERT INTO helpdesk.labels (tenant_id, name) VALUES (7, 'm') RETURNING id")
        assert label == (502,)

    run(place, test)


def test_the_catalogue_is_the_same_after_a_swap(place: TestDatabase) -> None:
    """Triggers, constraints, identities: a restore changes rows and nothing else."""

    async def test(bench: Bench) -> None:
        before = await bench.database.catalogue_digest("live")
        bench.run("DELETE FROM helpdesk.tenants WHERE id = 7")
        await bench.swap()
        assert await bench.database.catalogue_digest("live") == before

    run(place, test)


def test_text_that_postgres_would_print_otherwise_is_no_difference(place: TestDatabase) -> None:
    """Rows are compared as the database prints them before anything is called different."""

    async def test(bench: Bench) -> None:
        rows = dict(bench.rows)
        (invoice,) = rows["helpdesk.invoices"]
        rows["helpdesk.invoices"] = [{**invoice, "rate": "1e-8", "issued": "Infinity"}]
        assert (await bench.swap(rows)).set_aside == ()

    run(place, test)


def test_a_database_that_is_away_is_a_failure_with_its_reason() -> None:
    """Not a traceback."""

    async def main() -> None:
        nobody = PostgresTarget(dsn="postgresql://nobody@127.0.0.1:9/none", schema=SCHEMA)
        await nobody.swap(Swap(tenant="1", rows={}, shared={}, high={}, set_aside=False, schema=NO_SCHEMA))

    with pytest.raises(SubjectFailed, match="the target database"):
        asyncio.run(main())


def test_an_empty_database_is_told_from_one_that_is_away(place: TestDatabase) -> None:
    """The swap itself notices that there are no tables; nobody has to ask over another connection."""

    async def test(bench: Bench) -> None:
        bench.run("DROP SCHEMA helpdesk CASCADE")
        with pytest.raises(SchemaMissing, match="helpdesk"):
            await bench.swap()

    run(place, test)


def test_a_database_in_which_nothing_was_prepared_has_no_digest(place: TestDatabase) -> None:
    """It is a fresh cluster's, and everything is still to be built."""

    async def test(bench: Bench) -> None:
        assert await bench.target.catalogue_digest() != ""
        bench.run("DROP SCHEMA restoreproof CASCADE")
        assert await bench.target.catalogue_digest() == ""

    run(place, test)


def test_a_swap_opens_one_connection(place: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one costs a process on the server, and time that a restore has not."""
    opened: list[str] = []

    @asynccontextmanager
    async def counting(dsn: str) -> AsyncIterator[Session]:
        opened.append(dsn)
        async with open_session(dsn) as session:
            yield session

    async def test(bench: Bench) -> None:
        monkeypatch.setattr(postgres_target, "open_session", counting)
        await bench.swap()

    run(place, test)
    assert opened == [place.admin]
