"""DDL in the archive: what is told of it, what a restore makes of it, and what stops the archiver."""

from __future__ import annotations

import asyncio
import base64

import msgspec
import pytest

from fixtures.archive import (
    END,
    SCHEMA,
    SYSTEM,
    Bench,
    changed,
    dropped,
    insert,
    note_row,
    tenant_row,
    told,
    truncate,
    virtually,
)
from harness.model.errors import ArchiverStopped
from harness.model.history import Cut
from harness.simulate.archive_ports import MemoryTarget
from harness.subject.reference import capture_sql
from harness.subject.reference.adapters.envelope import Reader
from harness.subject.reference.event_triggers import (
    CLEAR_PREFIX,
    DDL_PREFIX,
    EVENT_TRIGGERS,
    ROW_PREFIX,
)
from harness.subject.reference.format import ManifestEntry
from harness.subject.reference.incidents import find_incidents
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import MessageEvent, RowEvent, TruncateEvent, Unreadable
from harness.subject.reference.rebuild import items, missing
from harness.subject.reference.rules import Seen, SeenPublication, problems

NOTE = insert("app.note", note_row(1, "acme"))


async def _entries(bench: Bench) -> list[ManifestEntry]:
    manifest = Manifest(bench.store)
    await manifest.catch_up()
    return [link.entry for link in manifest.links]


def _before(xid: int) -> Cut:
    return Cut(epoch=1, xid=xid)


async def _drop_notes(bench: Bench) -> int:
    """Archive a tenant with a note, a DROP of the notes' table, and what the schema is then; its xid."""
    bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.note", note_row(1, "acme")))
    await bench.archive()
    bench.source.ddl, bench.source.catalogue = "-- no notes", "catalogue-2"
    xid = bench.tape.commit(*dropped("app.note", "app.line"))
    await bench.archive()
    return xid


def test_a_drop_takes_everybodys_rows_and_a_cut_before_it_has_them() -> None:
    """There is no row event: the event trigger's message is all that tells of it (FM-7)."""

    async def scene(bench: Bench) -> tuple[dict[str, int], dict[str, int]]:
        xid = await _drop_notes(bench)
        before = await bench.rows("acme", _before(xid))
        return {t: len(r) for t, r in before.items()}, {
            t: len(r) for t, r in (await bench.rows("acme")).items()
        }

    assert virtually(scene) == ({"app.tenant": 1, "app.note": 1}, {"app.tenant": 1})


def test_the_schema_is_archived_at_each_change_and_restores_take_the_one_at_their_cut() -> None:
    """In place the missing tables are rebuilt as of the cut before any row comes (FM-57)."""

    async def scene(bench: Bench) -> tuple[list[int], str | None, str | None]:
        xid = await _drop_notes(bench)
        numbers = [entry.db_schema.number for entry in await _entries(bench)]
        in_place, at_end = MemoryTarget(), MemoryTarget()
        in_place.ddl = "built before"
        await bench.restorer().restore("acme", _before(xid), in_place, in_place=True)
        await bench.restorer().restore("acme", END, at_end, in_place=False)
        return numbers, in_place.ddl, at_end.ddl

    assert virtually(scene) == ([1, 2], "CREATE TABLE ...", "-- no notes")


def test_where_nothing_changed_since_the_cut_nothing_is_rebuilt() -> None:
    """Neighbours write all the while: their tables are left alone."""

    async def scene(bench: Bench) -> str | None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(NOTE)
        await bench.archive()
        target = MemoryTarget()
        target.ddl = "built before"
        await bench.restorer().restore("acme", END, target, in_place=True)
        return target.ddl

    assert virtually(scene) == "built before"


def test_a_schema_between_two_quick_changes_is_not_made_up() -> None:
    """What could not be dumped has no dump: a cut between takes the last one known before."""

    async def scene(bench: Bench) -> tuple[list[object], str | None]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.source.ddl, bench.source.catalogue = "-- third", "catalogue-3"
        bench.source.ddl = "CREATE TABLE ..."
        archiver = bench.archiver()
        await archiver.resume()
        bench.source.ddl = "-- third"
        bench.tape.commit(*dropped("app.line"))
        xid = bench.tape.commit(changed("catalogue-3"))
        for event in bench.feed.events:
            archiver.take(event)
        await archiver.flush()
        (entry,) = await _entries(bench)
        target = MemoryTarget()
        await bench.restorer().restore("acme", _before(xid), target, in_place=False)
        return [g.schema and g.schema.number for g in entry.globals if g.kind == "schema"], target.ddl

    assert virtually(scene) == ([None, 2], "CREATE TABLE ...")


def test_a_change_while_the_database_is_away_is_dumped_later() -> None:
    """The archiver goes on, and owes the schema until it can be had; also after a restart."""

    async def nothing() -> None:
        return None

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot()
        await bench.archive()
        bench.source.ddl, bench.source.catalogue = "-- new", "catalogue-2"
        dump, bench.source.dump_schema = bench.source.dump_schema, nothing  # type: ignore[method-assign]
        bench.tape.commit(changed("catalogue-2"))
        await bench.archive()
        bench.source.dump_schema = dump  # type: ignore[method-assign]
        bench.tape.commit(NOTE)
        await bench.archive()
        return [entry.db_schema.number for entry in await _entries(bench)]

    assert virtually(scene) == [1, 1, 2]


def test_a_digest_that_nobody_announced_stops_the_archiver() -> None:
    """An event trigger that is gone, disabled or failed is given away by the heartbeats (FM-57)."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        bench.tape.heartbeat(1, catalogue="one")
        bench.tape.heartbeat(2, catalogue="two")
        bench.tape.commit(NOTE)
        bench.tape.heartbeat(3, catalogue="two")
        running = asyncio.ensure_future(bench.archiver().run())
        with pytest.raises(ArchiverStopped, match="nobody said so"):
            await asyncio.wait_for(running, 10.0)

    virtually(scene)


def test_ddl_while_the_archiver_was_away_does_not_pass_unseen() -> None:
    """The digest in force is in the archive, and heartbeats after the restart are compared with it."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        bench.tape.heartbeat(1, catalogue="one")
        await bench.archive()
        bench.tape.heartbeat(2, catalogue="two")
        bench.tape.heartbeat(3, catalogue="two")
        with pytest.raises(ArchiverStopped, match="nobody said so"):
            await bench.archive()

    virtually(scene)


def test_a_heartbeat_may_be_a_moment_older_than_the_change_before_it() -> None:
    """It read the catalogue before the DDL committed and was committed after it: once is no alarm."""

    async def scene(bench: Bench) -> str:
        bench.tape.snapshot()
        bench.tape.heartbeat(1, catalogue="one")
        bench.tape.commit(changed("two"))
        bench.tape.heartbeat(2, catalogue="one")
        bench.tape.heartbeat(3, catalogue="two")
        bench.tape.commit(changed("three"))
        bench.tape.heartbeat(4, catalogue="two")
        bench.tape.heartbeat(5, catalogue="three")
        return (await bench.archive()).last.entry.catalogue  # type: ignore[union-attr]  # it wrote one

    assert virtually(scene) == "three"


def test_a_new_feed_begins_with_the_digest_that_it_brings() -> None:
    """A fresh cluster's catalogue has no history in this archive."""

    async def scene(bench: Bench) -> str:
        bench.tape.snapshot()
        bench.tape.heartbeat(1, catalogue="one")
        await bench.archive()
        bench.feed.events.clear()
        bench.feed.committed, bench.feed.name = 0, "feed-2"
        bench.tape.lsn = 10
        bench.tape.snapshot(system_id=SYSTEM + "9")
        bench.tape.heartbeat(1, catalogue="other", system_id=SYSTEM + "9")
        return (await bench.archive()).last.entry.catalogue  # type: ignore[union-attr]  # it wrote one

    assert virtually(scene) == "other"


def test_a_message_of_ddl_that_cant_be_read_stops_the_archiver() -> None:
    """It is never skipped."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot()
        bench.tape.commit(told("{"))
        with pytest.raises(ArchiverStopped, match="can't be read"):
            await bench.archive()

    virtually(scene)


def test_a_table_told_anew_has_exactly_the_rows_that_were_told() -> None:
    """As when a partition was detached: its rows are gone, at this place and no other."""

    async def scene(bench: Bench) -> tuple[list[str | None], list[str | None]]:
        notes = [("app.note", note_row(n, "acme")) for n in (1, 2)]
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), *notes)
        xid = bench.tape.commit(
            truncate("app.note"), ("snapshot", "app.note", None, note_row(2, "acme")), changed("two")
        )
        await bench.archive()
        found = [await bench.rows("acme", cut) for cut in (_before(xid), END)]
        before, after = ([row["id"] for row in rows["app.note"]] for rows in found)
        return before, after

    assert virtually(scene) == (["1", "2"], ["2"])


def test_a_dropped_table_is_an_incident() -> None:
    """Found from the archive alone, as any other."""

    async def scene(bench: Bench) -> list[tuple[str, int]]:
        bench.tape.snapshot(*(("app.note", note_row(n, "acme")) for n in (1, 2)))
        xid = bench.tape.commit(*dropped("app.note", "app.line", "app.note_2025"))
        await bench.archive()
        manifest = Manifest(bench.store)
        await manifest.catch_up()
        found = await find_incidents(bench.store, bench.keys, SCHEMA, manifest.links)
        assert [one.cut.xid for one in found] == [xid]
        return [(loss.tenant, loss.rows) for one in found for loss in one.losses]

    assert virtually(scene) == [("acme", 2)]


def _message(prefix: str, content: object) -> bytes:
    body = base64.b64encode(msgspec.json.encode(content)).decode()
    record = {
        "op": "m",
        "source": {"lsn": 1, "txId": 700},
        "transaction": {"total_order": 1},
        "message": {"prefix": prefix, "content": body},
    }
    return msgspec.json.encode(record)


@pytest.mark.parametrize(
    ("prefix", "content", "event"),
    [
        (DDL_PREFIX, {"tag": "x"}, MessageEvent(offset=5, xid=700, order=1, content='{"tag":"x"}')),
        ("app.own", {"tag": "x"}, MessageEvent(offset=5, xid=700, order=1)),
        (CLEAR_PREFIX, {"table": "app.note"}, TruncateEvent(offset=5, xid=700, order=1, table="app.note")),
        (
            ROW_PREFIX,
            {"table": "app.note", "row": {"id": "1", "body": None}},
            RowEvent(
                offset=5,
                xid=700,
                order=1,
                table="app.note",
                op="snapshot",
                after={"id": "1", "body": None},
            ),
        ),
    ],
)
def test_messages_of_the_event_triggers_are_read(prefix: str, content: object, event: object) -> None:
    """DDL as it stands, tables told anew as rows; what others say only counts."""
    reader = Reader(schema=SCHEMA, placeholder="")
    assert list(reader.events(5, _message(prefix, content))) == [event]


def test_a_row_told_without_its_table_cant_be_read() -> None:
    """It stops the archiver, as any other gibberish."""
    (event,) = Reader(schema=SCHEMA, placeholder="").events(5, _message(ROW_PREFIX, {"row": {}}))
    assert isinstance(event, Unreadable)


def test_event_triggers_fire_always_and_after_all_else_is_there() -> None:
    """What prepares a database installs them, and the lint misses them."""
    sql = capture_sql(SCHEMA)
    assert all(f"ALTER EVENT TRIGGER {name} ENABLE ALWAYS" in sql for name in EVENT_TRIGGERS)
    publication = SeenPublication(name="p", lacks=(), via_root=True, stored_columns=True)
    seen = Seen(version=180000, tables={}, publication=publication, enums={}, domains={})
    (found,) = problems(seen, msgspec.structs.replace(SCHEMA, tables=()), "p")
    assert found.what.startswith(f"event triggers {', '.join(EVENT_TRIGGERS)} are missing")
    assert all(f"CREATE EVENT TRIGGER {name}" in found.cure_sql for name in EVENT_TRIGGERS)
    armed = msgspec.structs.replace(seen, event_triggers=frozenset(EVENT_TRIGGERS))
    assert problems(armed, msgspec.structs.replace(SCHEMA, tables=()), "p") == []


def _dumped(*parts: tuple[str, str, str, str]) -> str:
    return "SET x = 1;\n\n" + "\n\n".join(
        f"--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: app\n--\n\n{sql}"
        for kind, schema, name, sql in parts
    )


DUMP = _dumped(
    ("SCHEMA", "-", "app", "CREATE SCHEMA app;"),
    ("ACL", "-", "SCHEMA app", "GRANT USAGE ON SCHEMA app TO reader;"),
    ("TYPE", "app", "mood", "CREATE TYPE app.mood AS ENUM ('ok');"),
    ("TABLE", "app", "note", "CREATE TABLE app.note (id bigint);"),
    ("TABLE", "app", "Line", 'CREATE TABLE app."Line" (id bigint);'),
    ("ACL", "app", "TABLE note", "GRANT SELECT ON TABLE app.note TO reader;"),
    ("COMMENT", "app", "COLUMN note.id", "COMMENT ON COLUMN app.note.id IS '';"),
    ("COMMENT", "app", "CONSTRAINT c ON note", "COMMENT ON CONSTRAINT c ON app.note IS '';"),
    ("SEQUENCE", "app", "note_id_seq", "CREATE SEQUENCE app.note_id_seq;"),
    ("SEQUENCE OWNED BY", "app", "note_id_seq", "ALTER SEQUENCE app.note_id_seq OWNED BY app.note.id;"),
    ("DEFAULT", "app", "note id", "ALTER TABLE ONLY app.note ALTER COLUMN id SET DEFAULT 1;"),
    ("CONSTRAINT", "app", "note note_pkey", "ALTER TABLE ONLY app.note ADD CONSTRAINT note_pkey ...;"),
    ("CONSTRAINT", "app", "Line Line_pkey", 'ALTER TABLE ONLY app."Line" ADD CONSTRAINT ...;'),
    ("INDEX", "app", "by_body", "CREATE INDEX by_body ON app.note USING btree (body);"),
    ("INDEX", "app", "by_line", 'CREATE INDEX by_line ON ONLY app."Line" USING btree (id);'),
    ("TRIGGER", "app", "note tell", "CREATE TRIGGER tell AFTER INSERT ON app.note ...;"),
    (
        "FK CONSTRAINT",
        "app",
        "Line of_note",
        'ALTER TABLE ONLY app."Line" ADD CONSTRAINT of_note FOREIGN KEY (id) REFERENCES app.note(id);',
    ),
    ("PUBLICATION TABLE", "app", "pub note", "ALTER PUBLICATION pub ADD TABLE ONLY app.note;"),
    ("EVENT TRIGGER", "-", "restoreproof_ddl", "CREATE EVENT TRIGGER ...;"),
)
EVERYTHING = {item.id for item in items(DUMP)}


def test_a_database_that_lacks_nothing_is_left_alone() -> None:
    """Not even a comment is made anew."""
    assert missing(DUMP, EVERYTHING) == []


def test_a_missing_table_comes_with_all_that_hangs_on_it() -> None:
    """Keys, defaults, indexes, triggers, grants, comments, membership; foreign keys of others to it too."""
    gone = {name for name in EVERYTHING if "note" in name and "Line" not in name} | {
        "INDEX app by_body",
        "FK CONSTRAINT app Line of_note",
    }
    names = [item.id for item in missing(DUMP, EVERYTHING - gone)]
    assert names == [item.id for item in items(DUMP) if item.id in gone]


def test_what_others_dropped_of_a_table_that_is_there_stays_dropped() -> None:
    """An index, a key or a trigger that a later migration took away is no restore's business."""
    later = {
        "INDEX app by_line",
        "TRIGGER app note tell",
        "DEFAULT app note id",
        "FK CONSTRAINT app Line of_note",
    }
    assert missing(DUMP, EVERYTHING - later) == []


def test_a_missing_membership_and_event_trigger_are_built_alone() -> None:
    """They are the backup's own, and without them nothing is archived any more."""
    gone = {"PUBLICATION TABLE app pub note", "EVENT TRIGGER - restoreproof_ddl"}
    assert {item.id for item in missing(DUMP, EVERYTHING - gone)} == gone


def test_a_change_that_leaves_the_dump_as_it_was_gives_it_no_new_number() -> None:
    """Dumps are compared by their text: what is the same has the same number."""

    async def scene(bench: Bench) -> tuple[int, str]:
        bench.tape.snapshot()
        await bench.archive()
        bench.source.catalogue = "catalogue-2"
        bench.tape.commit(changed("catalogue-2"))
        await bench.archive()
        last = (await _entries(bench))[-1]
        return last.db_schema.number, last.db_schema.catalogue

    assert virtually(scene) == (1, "catalogue-2")
