"""The drive's ports on a real Postgres: what sessions read, journal and call the outcome of a COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from fixtures.cutting import CuttingProxy
from fixtures.helpdesk_rows import AWKWARD, ENTRIES, LONG, add_country, add_tenant
from fixtures.postgres import MakeDatabase, TestDatabase
from harness.drive.ports import Ack, Conflicted, ConnectionLost, NotRead, Refused
from harness.model.plan import ScriptTransaction, Statement
from harness.model.values import Digest, row_of
from harness.schemas import load
from harness.stack.wait import NotYet, wait_for, wait_until
from harness.stack.world.database import PostgresDatabase
from harness.stack.world.session import PostgresOperator, PostgresSession

pytestmark = pytest.mark.live

HELPDESK = load("helpdesk").schema
TENANTS = ["7", "8"]
Test = Callable[[PostgresDatabase, PostgresSession], Awaitable[None]]


@pytest.fixture
def place(make_database: MakeDatabase) -> TestDatabase:
    """A database with the helpdesk schema, prepared for capture."""
    return make_database(load("helpdesk"))


def run(place: TestDatabase, test: Test, *, filled: bool = False) -> None:
    """Run a test in an event loop, with a session that is closed behind it."""

    async def main() -> None:
        database = PostgresDatabase(schema=HELPDESK, app_dsn=place.app, admin_dsn=place.admin)
        session = await database.session("test")
        try:
            if filled:
                await fill(session)
            await test(database, session)
        finally:
            await session.close()

    asyncio.run(main())


async def fill(session: PostgresSession) -> Ack:
    """Commit two whole tenants."""
    await session.begin()
    await add_country(session, HELPDESK)
    for tenant in TENANTS:
        await add_tenant(session, HELPDESK, tenant)
    return await session.commit()


def script(sql: str) -> ScriptTransaction:
    """Return a script's transaction with one statement."""
    return ScriptTransaction(name="s", statements=(Statement(sql=sql),), intended=(), actual=())


def test_images_are_what_postgres_prints(place: TestDatabase) -> None:
    """Every image that comes back is the text of the type's output function, generated column included."""

    async def test(_database: PostgresDatabase, session: PostgresSession) -> None:
        await session.begin()
        await add_country(session, HELPDESK)
        made = await add_tenant(session, HELPDESK, "7")
        ticket, account, invoice = made["tickets"], made["accounts"], made["invoices"]
        assert ticket["subject"] == AWKWARD
        assert ticket["subject_chars"] == str(len(AWKWARD))
        assert ticket["tags"] == '{a,NULL,"","NULL"}'
        assert ticket["effort"] == "1 mon -3 days +04:05:06.7"
        assert ticket["hours"] == "[1,6)"
        assert ticket["opened_at"] == "2019-12-31 22:00:00+00"
        assert ticket["closed_at"] is None
        assert len(ticket["body"] or "") == LONG
        assert account["born"] == "0044-03-15 BC"
        assert account["nickname"] == ""
        assert account["active"] == "t"
        assert (invoice["amount"], invoice["rate"], invoice["issued"]) == ("NaN", "0.00000001", "infinity")
        assert made["tenants"]["settings"] == "{}"
        assert made["attachments"]["content"] == "\\x" + "ab" * LONG

    run(place, test)


def test_ready_tells_xid_position_and_what_triggers_wrote(place: TestDatabase) -> None:
    """Before COMMIT the xid, a lower bound and the outbox rows are known; after it an upper bound."""

    async def test(_database: PostgresDatabase, session: PostgresSession) -> None:
        await session.begin()
        await add_country(session, HELPDESK)
        await add_tenant(session, HELPDESK, "7")
        ready = await session.ready()
        ack = await session.commit()
        assert [c.table for c in ready.changes] == ["helpdesk.outbox"] * 3
        assert {row_of(c.row)["xid"] for c in ready.changes} == {str(ready.xid)}
        assert ack.outcome == "acked"
        assert ack.lsn_upper is not None
        assert 0 < ready.lsn_lower < ack.lsn_upper
        await session.begin()
        later = await session.ready()
        assert later.changes == ()
        assert later.xid > ready.xid
        await session.rollback()

    run(place, test)


def test_ready_tells_what_a_deletion_took_with_it(place: TestDatabase) -> None:
    """Rows that go by cascade are told like those that triggers wrote: a writer may not know of them."""

    async def test(_database: PostgresDatabase, session: PostgresSession) -> None:
        await session.begin()
        assert await session.delete(HELPDESK.table("helpdesk.tickets"), {"tenant_id": "7", "number": "3"})
        ready = await session.ready()
        gone = {change.table for change in ready.changes if change.op == "delete"}
        assert gone == {"helpdesk.comments", "helpdesk.attachments", "helpdesk.ticket_labels"}
        await session.rollback()
        await session.begin()
        assert (await session.ready()).changes == ()

    run(place, test, filled=True)


def test_bulk_loads_return_images_in_their_order(place: TestDatabase) -> None:
    """COPY gives identity and generated values back for each row, in the order of the rows."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        await fill(session)
        rows = (await database.read(["7"], "live"))["7"]["helpdesk.tickets"]
        assert [(r["number"], r["id"]) for r in rows] == [("1", "2"), ("2", "3"), ("3", "1")]
        assert [r["entry"] for r in (await database.read(["7"], "live"))["7"]["helpdesk.audit"]] == [
            *ENTRIES
        ]

    run(place, test)


def test_a_changed_key_moves_its_row_to_another_leaf(place: TestDatabase) -> None:
    """An update of the partition key is one update for the writer, whatever Postgres makes of it."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        entry = "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a17"
        key = {"tenant_id": "7", "entry": ENTRIES[0]}
        audit = HELPDESK.table("helpdesk.audit")
        await session.begin()
        row = await session.update(audit, key, {"entry": entry})
        assert row is not None
        assert row["entry"] == entry
        assert await session.update(audit, key, {"entry": entry}) is None
        assert not await session.delete(audit, key)
        assert (await session.commit()).outcome == "acked"
        rows = (await database.read(["7"], "live"))["7"]["helpdesk.audit"]
        assert {r["entry"] for r in rows} == {*ENTRIES[1:], entry}

    run(place, test, filled=True)


def test_refusals_leave_nothing_behind(place: TestDatabase) -> None:
    """A refused statement, the COMMIT after it and a violation found at COMMIT are all *refused*."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        await session.begin()
        with pytest.raises(Refused, match="23505"):
            await session.insert(HELPDESK.table("helpdesk.tenants"), _tenant("7"))
        assert (await session.commit()).outcome == "refused"
        await session.reset()
        await session.begin()
        account = (await database.read(["7"], "live"))["7"]["helpdesk.accounts"][0]
        accounts = HELPDESK.table("helpdesk.accounts")
        await session.update(accounts, {"id": str(account["id"])}, {"home_project_id": "999"})
        late = await session.commit()
        assert (late.outcome, late.lsn_upper) == ("refused", None)
        assert "23503" in late.detail
        await session.reset()
        assert (await database.read(["7"], "live"))["7"]["helpdesk.accounts"] == [account]

    run(place, test, filled=True)


def test_serializable_sessions_conflict_and_the_second_try_is_another_transaction(
    place: TestDatabase,
) -> None:
    """Who waits for a row is told so (40001) when the other commits; its next try sees what that left."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        tenants, key = HELPDESK.table("helpdesk.tenants"), {"id": "7"}
        other = await database.session("other")
        try:
            await other.begin(serializable=True)
            await other.update(tenants, key, {"name": "the other's"})
            await session.begin(serializable=True)
            refused = await session.ready()
            waits = asyncio.create_task(session.update(tenants, key, {"name": "mine"}))
            await asyncio.to_thread(wait_for_waiters, place.admin, 1)
            assert (await other.commit()).outcome == "acked"
            with pytest.raises(Conflicted, match="40001"):
                await waits
            await session.reset()
            await session.begin(serializable=True)
            row = await session.update(tenants, key, {"name": "mine"})
            again = await session.ready()
            assert row is not None
            assert (await session.commit()).outcome == "acked"
            assert again.xid > refused.xid
        finally:
            await other.close()

    run(place, test, filled=True)


def test_a_conflict_that_only_commit_sees_is_told_as_one(place: TestDatabase) -> None:
    """Each read what the other wrote (write skew): the second COMMIT is refused, nothing of it stays."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        tenants = HELPDESK.table("helpdesk.tenants")
        other = await database.session("other")
        try:
            for one, mine, theirs in ((session, "21", "22"), (other, "22", "21")):
                await one.begin(serializable=True)
                assert await one.update(tenants, {"id": theirs}, {"name": "nobody"}) is None
                await one.insert(tenants, _tenant(mine))
            assert (await other.commit()).outcome == "acked"
            ack = await session.commit()
            assert (ack.outcome, ack.conflicted) == ("refused", True)
            assert "40001" in ack.detail
        finally:
            await other.close()

    run(place, test, filled=True)


@pytest.mark.parametrize("ending", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_commit_that_stops_waiting_for_the_standby_is_unknown(place: TestDatabase, ending: str) -> None:
    """A cancelled wait looks like success and a terminated one like loss: both are *unknown* (FM-15)."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        with nobody_answers(place.admin):
            await session.begin()
            await session.insert(HELPDESK.table("helpdesk.tenants"), _tenant("9"))
            ready = await session.ready()
            committing = asyncio.create_task(session.commit())
            await asyncio.to_thread(end_the_wait, place.admin, ready.xid, ending)
            ack = await committing
        assert (ack.outcome, ack.lsn_upper) == ("unknown", None)
        await session.reset()
        assert len((await database.read(["9"], "live"))["9"]["helpdesk.tenants"]) == 1

    run(place, test)


@pytest.mark.parametrize("call", ["ready", "rollback", "begin"])
def test_a_lost_connection_is_told_and_mended(place: TestDatabase, call: str) -> None:
    """Any call on a dead connection raises ConnectionLost; after a reset the session works again."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        await session.begin()
        await session.insert(HELPDESK.table("helpdesk.tenants"), _tenant("7"))
        with psycopg.connect(place.admin, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"
            )
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await getattr(session, call)()
        await session.reset()
        await session.begin()
        await session.insert(HELPDESK.table("helpdesk.tenants"), _tenant("7"))
        assert (await session.commit()).outcome == "acked"
        assert (await database.cluster()).timeline == 1

    run(place, test)


def test_an_operator_sees_what_the_transaction_did(place: TestDatabase) -> None:
    """Keys left, counts of this transaction alone and marked rows are read inside it."""

    async def test(database: PostgresDatabase, _session: PostgresSession) -> None:
        operator = await database.operator()
        await _permanent(operator)
        await _mark(operator)
        await _cascade(operator)
        await operator.close()
        assert (await database.read(["7"], "live"))["7"]["helpdesk.tenants"] == []

    async def _permanent(operator: PostgresOperator) -> None:
        await operator.begin()
        await operator.run(script("SELECT helpdesk.delete_entity('{70}', 'permanent')"))
        sight, marked = await operator.look(TENANTS)
        assert {t for t, keys in sight.left["7"].items() if keys} == {"helpdesk.tenants"}
        assert sight.left["8"]["helpdesk.ticket_labels"] != ()
        assert (sight.deleted["helpdesk.audit"], sight.deleted["helpdesk.comments"]) == (4, 1)
        assert sight.deleted["helpdesk.tickets"] == len((await operator.ready()).changes)
        assert marked == ()
        await operator.break_off()
        await operator.reset()

    async def _mark(operator: PostgresOperator) -> None:
        await operator.begin()
        await operator.run(script("SELECT helpdesk.delete_entity('{70,81}', 'mark')"))
        sight, marked = await operator.look(TENANTS)
        assert (sight.deleted, sight.updated) == ({}, {"helpdesk.sites": 1, "helpdesk.apps": 1})
        assert {c.key for c in marked} == {"helpdesk.sites/70", "helpdesk.apps/81"}
        assert all(row_of(c.row)["deleted_at"] for c in marked)
        assert (await operator.commit()).outcome == "acked"

    async def _cascade(operator: PostgresOperator) -> None:
        await operator.begin()
        await operator.run(script("DELETE FROM helpdesk.tenants WHERE id = 7"))
        sight, _ = await operator.look(TENANTS)
        assert not any(sight.left["7"].values())
        assert set(sight.deleted) == {table.name for table in HELPDESK.owned}
        assert sight.updated == {}
        assert (await operator.commit()).outcome == "acked"

    run(place, test, filled=True)


def test_rows_are_read_by_owner_along_their_paths(place: TestDatabase) -> None:
    """A reading holds every row of the tenants asked for, and none of others, in each owned table."""

    async def test(database: PostgresDatabase, _session: PostgresSession) -> None:
        found = await database.read(["7", "9"], "live")
        assert {t: len(rows) for t, rows in found["7"].items()} == {
            table.name: {"helpdesk.tickets": 3, "helpdesk.audit": 4}.get(table.name, 1)
            for table in HELPDESK.owned
        }
        assert not any(found["9"].values())
        assert set(found["7"]["helpdesk.comments"][0]) == {"id", "ticket_id", "body", "posted_at"}
        unowned = await database.read_unowned("live")
        assert {t: len(rows) for t, rows in unowned.items()} == {
            "helpdesk.countries": 1,
            "helpdesk.outbox": 6,
        }

    run(place, test, filled=True)


def test_clearing_leaves_only_the_schema(place: TestDatabase) -> None:
    """Ordinary deletes empty every table, cycles and trigger-written rows included, sequences go on."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        before = await database.catalogue_digest("live")
        next_before = await database.next_values("live")
        await database.clear()
        found = await database.read(TENANTS, "live")
        assert not any(rows for tables in found.values() for rows in tables.values())
        assert not any((await database.read_unowned("live")).values())
        assert await database.catalogue_digest("live") == before
        assert await database.next_values("live") == next_before
        assert next_before["helpdesk.tickets.id"] == 7
        assert (await fill(session)).outcome == "acked"

    run(place, test, filled=True)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE helpdesk.tickets DISABLE TRIGGER tickets_outbox",
        "ALTER TABLE helpdesk.comments DISABLE TRIGGER ALL",
        "ALTER TABLE helpdesk.audit_1 REPLICA IDENTITY DEFAULT",
        "ALTER TABLE helpdesk.apps ALTER name DROP NOT NULL",
        "ALTER TABLE helpdesk.apps ALTER name SET DEFAULT 'x'",
        "ALTER PUBLICATION restoreproof_pub DROP TABLE helpdesk.labels",
        "DROP INDEX helpdesk.apps_site",
        "ALTER TABLE helpdesk.apps OWNER TO postgres",
    ],
)
def test_the_catalogue_digest_tells_a_changed_catalogue(place: TestDatabase, change: str) -> None:
    """Each kind of change gives another digest; what the backup system keeps for itself gives none."""

    async def test(database: PostgresDatabase, _session: PostgresSession) -> None:
        before = await database.catalogue_digest("live")
        with psycopg.connect(place.admin, autocommit=True) as admin:
            admin.execute("CREATE TABLE restoreproof.more (id int PRIMARY KEY)")
            assert await database.catalogue_digest("live") == before
            admin.execute(change.encode())
        assert await database.catalogue_digest("live") != before

    run(place, test)


def test_readings_that_follow_each_other_share_a_connection(place: TestDatabase) -> None:
    """It sees each time what is there then, is opened anew when it was lost, and is closed at the end."""
    readers = "FROM pg_stat_activity WHERE application_name = 'restoreproof read live'"

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        with psycopg.connect(place.admin, autocommit=True) as admin:
            pids = []
            async with database.readings():
                for _ in range(2):
                    assert (await database.read(["7"], "live"))["7"]["helpdesk.tenants"] == []
                    pids += admin.execute(f"SELECT pid {readers}".encode()).fetchall()
                assert len(set(pids)) == 1
                await fill(session)
                admin.execute(f"SELECT pg_terminate_backend(pid, 5000) {readers}".encode())
                assert (await database.read(["7"], "live"))["7"]["helpdesk.tenants"] != []
                assert (await database.look("7", "live")).rows["helpdesk.tenants"] != []
                assert admin.execute(f"SELECT pid {readers}".encode()).fetchall() not in ([], pids[:1])
            gone = f"SELECT count(*) {readers}".encode()
            wait_until("it is closed", lambda: admin.execute(gone).fetchone() == (0,), limit_s=5)

    run(place, test)


def test_a_kept_reading_bears_types_that_are_made_anew(place: TestDatabase) -> None:
    """A restore may build the schema again under it: no plan of the old one is in the way."""

    async def test(database: PostgresDatabase, _session: PostgresSession) -> None:
        async with database.readings():
            for _ in range(8):  # more often than psycopg waits before it prepares a statement
                before = await database.look("7", "live")
            with psycopg.connect(place.admin, autocommit=True) as admin:
                admin.execute(b"ALTER TABLE helpdesk.tenants ALTER name TYPE varchar")
                admin.execute(b"ALTER TABLE helpdesk.tickets ALTER body TYPE varchar")
            after = await database.look("7", "live")
            assert after.rows == before.rows
            assert after.catalogue_digest != before.catalogue_digest

    run(place, test, filled=True)


def test_the_scratch_database_is_new_and_empty_each_time(place: TestDatabase) -> None:
    """A restore that built nothing in scratch reads as no rows there, not as a failure of the harness."""

    async def test(database: PostgresDatabase, _session: PostgresSession) -> None:
        for _ in range(2):
            await database.reset_scratch()
            found = await database.read(["7"], "scratch")
            assert not any(found["7"].values())
            assert await database.next_values("scratch") == {}
        assert await database.catalogue_digest("scratch") != await database.catalogue_digest("live")

    run(place, test, filled=True)


def test_long_texts_are_digests_in_journals(place: TestDatabase) -> None:
    """A marked row's journal form is bounded, however long the row is."""

    async def test(database: PostgresDatabase, session: PostgresSession) -> None:
        apps = HELPDESK.table("helpdesk.apps")
        await session.begin()
        await session.update(apps, {"id": "71"}, {"name": "n" * LONG})
        assert (await session.commit()).outcome == "acked"
        operator = await database.operator()
        await operator.begin()
        await operator.run(script("SELECT helpdesk.delete_entity('{71}', 'mark')"))
        _, (marked,) = await operator.look(TENANTS)
        await operator.close()
        name = row_of(marked.row)["name"]
        assert isinstance(name, Digest)
        assert name.chars == LONG

    run(place, test, filled=True)


def _tenant(tenant: str) -> dict[str, str | None]:
    return {"id": tenant, "slug": tenant, "name": "", "created_at": "now"}


@contextmanager
def nobody_answers(admin: str) -> Iterator[None]:
    """Make COMMIT wait for a standby that does not exist, for a while.

    Whether anybody is to be waited for is told by the checkpointer: it has heard once a later CHECKPOINT is
    done. That it was sent word shows in a session begun since.
    """

    def configure(session: psycopg.Connection, names: str) -> None:
        session.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
        session.execute("SELECT pg_reload_conf()")
        wait_until("new sessions have the names", lambda: names_of_a_new_session() == names, limit_s=10.0)
        session.execute("CHECKPOINT")

    def names_of_a_new_session() -> str:
        with psycopg.connect(admin, autocommit=True) as session:
            (names,) = session.execute("SHOW synchronous_standby_names").fetchone() or ("",)
            return str(names)

    with psycopg.connect(admin, autocommit=True) as session:
        configure(session, "nobody")
        try:
            yield
        finally:
            configure(session, "")


def end_the_wait(admin: str, xid: int, ending: str) -> None:
    """Wait until the backend of ``xid`` waits for the standby, then end that by ``ending``."""

    def probe() -> None:
        found = session.execute(
            f"SELECT {ending}(pid) FROM pg_stat_activity"
            " WHERE application_name = 'test' AND wait_event = 'SyncRep'".encode()
        ).fetchone()
        if found is None:
            raise NotYet(f"transaction {xid} does not wait")

    with psycopg.connect(admin, autocommit=True) as session:
        wait_for("a COMMIT waits for the standby", probe, limit_s=10.0)


def test_another_schema_is_served_alike(make_database: MakeDatabase) -> None:
    """Text tenants, keys that the database gives, a reserved word as a name, no outbox, no marks."""
    shop = load("shop").schema
    place = make_database(load("shop"))

    async def main() -> None:
        database = PostgresDatabase(schema=shop, app_dsn=place.app, admin_dsn=place.admin)
        session = await database.session("test")
        await session.begin()
        tenant = 'it\'s "a" \\ {b}'
        await session.insert(shop.table("shop.merchant"), {"code": tenant, "title": ""})
        purchase = {"id": ENTRIES[0], "merchant": tenant, "order": "1", "placed_at": "now"}
        columns, rows = tuple(purchase), [tuple(purchase.values())]
        (image,) = await session.copy(shop.table("shop.purchase"), columns, rows)
        assert image["order"] == "1"
        values = {"purchase": ENTRIES[0], "article": "", "pieces": "3"}
        line = await session.insert(shop.table("shop.line"), values)
        key = {"id": str(line["id"])}
        assert await session.update(shop.table("shop.line"), key, {"pieces": "-3"}) is not None
        assert (await session.ready()).changes == ()
        assert (await session.commit()).outcome == "acked"
        found = await database.read([tenant], "live")
        assert found[tenant]["shop.line"] == [{**line, "pieces": "-3"}]
        operator = await database.operator()
        await operator.begin()
        await operator.run(script("DELETE FROM shop.line"))
        sight, marked = await operator.look([tenant])
        assert (sight.left[tenant]["shop.line"], sight.deleted, marked) == ((), {"shop.line": 1}, ())
        await operator.close()
        await session.close()
        await database.clear()
        assert not any((await database.read([tenant], "live"))[tenant].values())
        assert await database.next_values("live") == {}

    asyncio.run(main())


async def write_to_ledger(session: PostgresSession, op: str) -> Ack | ConnectionLost:
    """Run one transaction with every kind of answer in it; say how it ended."""
    try:
        await session.begin()
        await session.update(HELPDESK.table("helpdesk.tenants"), {"id": "7"}, {"name": op})
        await session.copy(HELPDESK.table("helpdesk.ledger"), ("tenant_id", "op"), [["7", op]])
        await session.ready()
    except ConnectionLost as lost:
        return lost
    return await session.commit()


def test_a_connection_cut_at_any_byte_is_lost_and_nothing_else(place: TestDatabase) -> None:
    """Wherever the answers of a transaction break off, it is lost, or *unknown* once COMMIT was sent."""
    server = psycopg.conninfo.conninfo_to_dict(place.app)
    ends: dict[str, Ack | ConnectionLost] = {}

    async def main() -> set[str]:
        proxy = CuttingProxy(str(server["host"]), int(server["port"] or 0))
        async with proxy.listening() as port:
            app = psycopg.conninfo.make_conninfo(place.app, host="127.0.0.1", port=port)
            database = PostgresDatabase(schema=HELPDESK, app_dsn=app, admin_dsn=place.admin)
            session = await database.session("test")
            await session.begin()
            await session.insert(HELPDESK.table("helpdesk.tenants"), _tenant("7"))
            await session.commit()
            before = proxy.sent_bytes
            ends["whole"] = await write_to_ledger(session, "whole")
            for at in range(1, proxy.sent_bytes - before + 40, 9):
                proxy.cut_after = proxy.sent_bytes + at
                ends[f"cut at {at}"] = await write_to_ledger(session, f"cut at {at}")
                proxy.cut_after = None
                await session.reset()
            await session.close()
            rows = (await database.read(["7"], "live"))["7"]["helpdesk.ledger"]
            return {str(row["op"]) for row in rows}

    kept = asyncio.run(main())
    acks = {op: end for op, end in ends.items() if isinstance(end, Ack)}
    assert {ack.outcome for ack in acks.values()} == {"acked", "unknown"}
    assert {op for op, ack in acks.items() if ack.outcome == "acked"} <= kept <= set(acks)
    assert len(acks) < len(ends)


def test_a_deadlock_ends_the_writer_and_not_the_script(place: TestDatabase) -> None:
    """When a script and a writer wait for each other, whoever was first, the script goes on."""
    tenants, labels = HELPDESK.table("helpdesk.tenants"), HELPDESK.table("helpdesk.labels")

    async def test(database: PostgresDatabase, writer: PostgresSession) -> None:
        operator = await database.operator()
        await writer_last(operator, writer)
        await writer_first(operator, writer)
        await operator.close()

    async def writer_last(operator: PostgresOperator, writer: PostgresSession) -> None:
        await operator.begin()
        await operator.run(script("DELETE FROM helpdesk.labels WHERE tenant_id = 7"))
        await writer.begin()
        await writer.update(tenants, {"id": "7"}, {"name": "new"})
        deleting = asyncio.create_task(operator.run(script("DELETE FROM helpdesk.tenants WHERE id = 7")))
        await asyncio.to_thread(wait_for_waiters, place.admin, 1)
        with pytest.raises(Refused, match="57014"):
            await writer.delete(labels, {"id": "1"})
        await writer.reset()
        await deleting
        assert (await operator.commit()).outcome == "acked"

    async def writer_first(operator: PostgresOperator, writer: PostgresSession) -> None:
        await operator.begin()
        await operator.run(script("DELETE FROM helpdesk.labels WHERE tenant_id = 8"))
        await writer.begin()
        await writer.update(tenants, {"id": "8"}, {"name": "new"})
        writing = asyncio.create_task(writer.delete(labels, {"id": "2"}))
        await asyncio.to_thread(wait_for_waiters, place.admin, 1)
        await asyncio.to_thread(wait_for_waiters, place.admin, 1, longer_than="500ms")
        deleting = asyncio.create_task(operator.run(script("DELETE FROM helpdesk.tenants WHERE id = 8")))
        with pytest.raises(Refused, match="57014"):
            await writing
        await writer.reset()
        await deleting
        assert (await operator.commit()).outcome == "acked"

    run(place, test, filled=True)


def test_a_reading_in_a_scripts_way_is_ended_and_may_be_made_again(place: TestDatabase) -> None:
    """A writer that looks what became of its COMMIT must not end a drill, nor hold up a DROP SCHEMA."""

    async def test(database: PostgresDatabase, _: PostgresSession) -> None:
        operator = await database.operator()
        await operator.begin()
        await operator.run(script("LOCK TABLE helpdesk.audit"))
        reading = asyncio.create_task(database.read(["7"], "live"))
        await asyncio.to_thread(wait_for_waiters, place.admin, 1)
        locking = asyncio.create_task(operator.run(script("LOCK TABLE helpdesk.tenants")))
        with pytest.raises(NotRead, match="57014"):
            await reading
        await locking
        assert (await operator.commit()).outcome == "acked"
        assert len((await database.read(["7"], "live"))["7"]["helpdesk.tenants"]) == 1
        await operator.close()

    run(place, test, filled=True)


def wait_for_waiters(admin: str, count: int, *, longer_than: str = "0s") -> None:
    """Wait until so many sessions wait for a lock, for so long already."""

    def probe() -> None:
        found = session.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > %s",
            [longer_than],
        ).fetchone()
        if found != (count,):
            raise NotYet(f"{found} sessions wait")

    with psycopg.connect(admin, autocommit=True) as session:
        wait_for(f"{count} sessions wait for a lock", probe, limit_s=10.0)
