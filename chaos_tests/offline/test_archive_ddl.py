"""DDL in the archive: what is told of it, what a restore makes of it, and what stops the archiver."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from fixtures.archive import (
    END,
    SCHEMA,
    SYSTEM,
    Bench,
    Change,
    changed,
    dropped,
    insert,
    line_row,
    note_row,
    tenant_row,
    told,
    truncate,
    update,
    virtually,
)
from harness.model.errors import ArchiverStopped, RestoreRefused
from harness.model.history import Cut
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemoryTarget
from harness.subject.reference import capture_sql
from harness.subject.reference.adapters.envelope import Reader
from harness.subject.reference.catalogue import altered_in
from harness.subject.reference.event_triggers import (
    CLEAR_PREFIX,
    DDL_PREFIX,
    EVENT_TRIGGERS,
    ROW_PREFIX,
)
from harness.subject.reference.format import ManifestEntry
from harness.subject.reference.incidents import Incident, find_incidents
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import (
    MessageEvent,
    RowEvent,
    SchemaMissing,
    Swap,
    Swapped,
    TruncateEvent,
    Unreadable,
)
from harness.subject.reference.rebuild import items, missing, unproven
from harness.subject.reference.rules import Seen, SeenPublication, problems
from harness.subject.reference.shapes import Altered, Shape, ShapeColumn, objection, shaped

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


@pytest.mark.parametrize(("digest", "built"), [("another", True), ("catalogue-1", False)])
def test_ddl_that_only_the_target_shows_is_undone(digest: str, built: bool) -> None:
    """It may be a moment old, and not archived yet; the catalogue of the cut needs nothing."""

    async def scene(bench: Bench) -> str | None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        target = MemoryTarget()
        target.ddl, target.catalogue = "built before", digest
        await bench.restorer().restore("acme", END, target, in_place=True)
        return target.ddl

    assert virtually(scene) == ("CREATE TABLE ..." if built else "built before")


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


def test_a_fresh_snapshot_takes_the_catalogue_as_it_is() -> None:
    """After a repair on the same feed: digest, shapes and schema begin anew."""

    async def scene(bench: Bench) -> tuple[str, list[int]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat(1, catalogue="one")
        bench.tape.commit(*_alter(TO_SECOND))
        await bench.archive()
        bench.source.ddl = "-- mended"
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.note", note_row(1, "acme")))
        bench.tape.heartbeat(1, catalogue="other")
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        last = (await bench.archive()).last
        assert last is not None
        numbers = [entry.db_schema.number for entry in await _entries(bench)]
        assert (await bench.rows("acme"))["app.note"] == [note_row(1, "acme"), note_row(2, "acme")]
        return last.entry.catalogue, numbers

    assert virtually(scene) == ("other", [1, 2])


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


def test_a_foreign_key_of_a_table_that_is_there_comes_back_not_valid() -> None:
    """Rows of tenants that are not restored yet have no parents; it is validated when they have."""
    gone = {"TABLE app note", "FK CONSTRAINT app Line of_note"}
    key = missing(DUMP, EVERYTHING - gone)[-1]
    assert key.sql.endswith("REFERENCES app.note(id) NOT VALID;")
    assert unproven(DUMP, {key.id, "FK CONSTRAINT app x y"}) == [
        'ALTER TABLE ONLY app."Line" VALIDATE CONSTRAINT of_note;'
    ]
    loose = DUMP.replace("app.note(id);", "app.note(id) NOT VALID;")
    assert unproven(loose, {key.id}) == []
    assert missing(loose, EVERYTHING - gone)[-1].sql == key.sql
    both = {*gone, "TABLE app Line"}
    (whole,) = [item for item in missing(DUMP, EVERYTHING - both) if item.kind == "FK CONSTRAINT"]
    assert whole.sql.endswith("REFERENCES app.note(id);")


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


# Tables whose columns change.


def _shape(*columns: ShapeColumn, key: tuple[str, ...] = ("id",), table: str = "app.note") -> Shape:
    return Shape(table=table, columns=columns, key=key)


def _column(number: int, name: str, kind: str = "text", **more: Any) -> ShapeColumn:
    return ShapeColumn(number=number, name=name, type=kind, nullable=True, **more)


ID = _column(1, "id", "bigint", given_by="identity")
TENANT = _column(2, "tenant")
BODY = _column(3, "body")
CHARS = _column(4, "chars", "integer", given_by="generated")
FIRST = _shape(ID, TENANT, BODY, CHARS)
SECOND = _shape(ID, TENANT, _column(3, "words"), CHARS, _column(5, "mood", missing="calm"))
THIRD = _shape(ID, TENANT, CHARS, _column(5, "mood", missing="calm"))
TO_SECOND, TO_THIRD = Altered(was=FIRST, now=SECOND), Altered(was=SECOND, now=THIRD)


def _alter(*altered: Altered, catalogue: str = "two") -> tuple[Change, ...]:
    content = msgspec.json.encode({"tag": "ALTER TABLE", "altered": altered}).decode()
    return told(content), changed(catalogue)


def _second(number: int, words: str, mood: str = "calm") -> RawRow:
    row = {"id": str(number), "tenant": "acme", "words": words, "chars": str(len(words))}
    return {**row, "mood": mood}


async def _altered(bench: Bench) -> tuple[int, int]:
    """Archive a note, a change, another note and a second change; return the xids of both changes."""
    bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.note", note_row(1, "acme", "hi")))
    first = bench.tape.commit(*_alter(TO_SECOND))
    bench.tape.commit(insert("app.note", _second(2, "there", "glad")))
    await bench.archive()
    second = bench.tape.commit(*_alter(TO_THIRD, catalogue="three"))
    await bench.archive()
    return first, second


def test_rows_become_what_a_change_of_their_table_made_of_them() -> None:
    """Renamed, added at the value kept for rows from before, dropped; a cut before has them as ever."""

    async def scene(bench: Bench) -> list[list[RawRow]]:
        cuts = [*map(_before, await _altered(bench)), END]
        return [(await bench.rows("acme", cut))["app.note"] for cut in cuts]

    then, between, now = virtually(scene)
    assert then == [note_row(1, "acme", "hi")]
    assert between == [_second(1, "hi"), _second(2, "there", "glad")]
    assert [sorted(row) for row in now] == [["chars", "id", "mood", "tenant"]] * 2
    assert [row["mood"] for row in now] == ["calm", "glad"]


@pytest.mark.parametrize(
    ("there", "columns"),
    [(FIRST, ["body", "chars", "id", "tenant"]), (SECOND, ["chars", "id", "mood", "tenant", "words"])],
)
def test_a_restore_fits_the_shape_that_the_target_has(there: Shape, columns: list[str]) -> None:
    """In place the tables are as of now, beside as of the cut; tables and rows go along."""

    async def scene(bench: Bench) -> Swap:
        first, _ = await _altered(bench)
        target = MemoryTarget()
        target.ddl = "there"
        target.tables = {t.name: tuple(c.name for c in t.columns) for t in SCHEMA.tables}
        target.tables["app.note"] = tuple(there.names.values())
        await bench.restorer().restore("acme", _before(first), target, in_place=True)
        return target.swaps[0]

    swap = virtually(scene)
    assert [sorted(row) for row in swap.rows["app.note"]] == [columns]
    assert swap.declared is not None
    assert sorted(c.name for c in swap.declared.table("app.note").columns) == columns


def test_the_end_of_the_archive_has_the_shape_of_the_end() -> None:
    """Whatever is declared: nothing changed after the cut, but something did before it."""

    async def scene(bench: Bench) -> Swap:
        await _altered(bench)
        target = MemoryTarget()
        target.ddl = "there"
        target.tables = {t.name: tuple(c.name for c in t.columns) for t in SCHEMA.tables}
        target.tables["app.note"] = tuple(THIRD.names.values())
        await bench.restorer().restore("acme", END, target, in_place=False)
        return target.swaps[0]

    swap = virtually(scene)
    assert swap.declared is not None
    assert [c.name for c in swap.declared.table("app.note").columns] == [*THIRD.names.values()]


def test_a_target_of_no_known_shape_is_refused() -> None:
    """Nothing is guessed: somebody changed the table and the archive has not heard of it yet."""

    async def scene(bench: Bench) -> None:
        first, _ = await _altered(bench)
        target = MemoryTarget()
        target.ddl = "there"
        target.tables = {t.name: ("id",) for t in SCHEMA.tables}
        await bench.restorer().restore("acme", _before(first), target, in_place=True)

    with pytest.raises(RestoreRefused, match="at no time from the cut on"):
        virtually(scene)


def test_a_table_that_came_later_is_left_out_of_a_restore_to_before_it() -> None:
    """The schema as of the cut lacks it, and no row is to go there."""

    async def scene(bench: Bench) -> list[str]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        target = Missing()
        target.tables = {t.name: tuple(c.name for c in t.columns) for t in SCHEMA.tables[:2]}
        await bench.restorer().restore("acme", END, target, in_place=False)
        declared = target.swaps[0].declared
        assert declared is not None
        return [table.name for table in declared.tables]

    assert virtually(scene) == ["app.word", "app.tenant"]


@pytest.mark.parametrize("before", [False, True])
def test_where_all_tables_were_dropped_there_is_nothing_to_put(before: bool) -> None:
    """A restore to after it is done at once; one to before it is refused where nothing builds tables."""

    class Bare(MemoryTarget):
        async def swap(self, swap: Swap) -> Swapped:
            raise SchemaMissing(f"no table of {swap.tenant}")

    async def scene(bench: Bench) -> Swapped:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        xid = bench.tape.commit(*dropped(*(table.name for table in SCHEMA.tables)), changed("nothing"))
        await bench.archive()
        cut = _before(xid) if before else END
        return await bench.restorer().restore("acme", cut, Bare(), in_place=False)

    if before:
        with pytest.raises(RestoreRefused, match="none of the tables"):
            virtually(scene)
    else:
        assert virtually(scene).rows == 0


class Missing(MemoryTarget):
    """Lacks a table until it is told that there is none."""

    async def swap(self, swap: Swap) -> Swapped:
        if swap.declared is None:
            raise SchemaMissing("no app.note")
        return await super().swap(swap)


def test_an_empty_target_is_built_before_anything_is_fitted() -> None:
    """Its columns are those of the cut then."""

    class Built(MemoryTarget):
        async def build_schema(self, ddl: str, high: Mapping[str, int]) -> None:
            await super().build_schema(ddl, high)
            self.tables = {t.name: tuple(c.name for c in t.columns) for t in SCHEMA.tables}

    async def scene(bench: Bench) -> list[RawRow]:
        first, _ = await _altered(bench)
        target = Built()
        await bench.restorer().restore("acme", _before(first), target, in_place=False)
        return list(target.swaps[0].rows["app.note"])

    assert virtually(scene) == [note_row(1, "acme", "hi")]


def test_a_restarted_archiver_knows_the_shapes_that_the_archive_ends_with() -> None:
    """From the archive itself, whatever is declared; on a new feed it is what is declared."""

    async def scene(bench: Bench) -> list[str]:
        await _altered(bench)
        row: RawRow = {"id": "3", "tenant": "acme", "chars": "0", "mood": "new"}
        bench.tape.commit(insert("app.note", row))
        await bench.archive()
        return [str(row["mood"]) for row in (await bench.rows("acme"))["app.note"]]

    assert virtually(scene) == ["calm", "glad", "new"]


def test_rows_before_and_after_a_change_in_one_transaction_are_told_apart() -> None:
    """Each is archived in the shape that its table had just then."""

    async def scene(bench: Bench) -> list[RawRow]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(
            insert("app.note", note_row(1, "acme", "hi")),
            _alter(TO_SECOND)[0],
            insert("app.note", _second(2, "there")),
            changed("two"),
        )
        await bench.archive()
        return (await bench.rows("acme"))["app.note"]

    assert virtually(scene) == [_second(1, "hi"), _second(2, "there")]


@pytest.mark.parametrize(
    ("altered", "why"),
    [
        (Altered(was=FIRST, now=_shape(ID, TENANT, BODY, key=("tenant",))), "its key is"),
        (Altered(was=FIRST, now=_shape(ID, _column(2, "owner"), BODY)), "column tenant, through which"),
        (Altered(was=FIRST, now=_shape(_column(1, "nr", "bigint"), TENANT)), "column id, through which"),
        (Altered(was=FIRST, now=_shape(ID, TENANT, _column(3, "body", "money"))), "values arrive changed"),
        (Altered(was=FIRST, now=_shape(ID, TENANT, table="app.notes")), "renamed to app.notes"),
    ],
)
def test_a_change_that_cant_be_carried_stops_the_archiver(altered: Altered, why: str) -> None:
    """With reason and cure: keys, the way to a tenant, types, names of tables, tables undeclared."""

    async def scene(bench: Bench) -> None:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(*_alter(altered))
        with pytest.raises(ArchiverStopped, match=why) as stopped:
            await bench.archive()
        assert stopped.value.cure

    virtually(scene)


def test_a_table_that_is_built_anew_gets_its_key_and_its_numbers_later() -> None:
    """As a restore rebuilds it from a dump: nothing about its rows has changed by that."""
    bare = _shape(msgspec.structs.replace(ID, given_by="client"), TENANT, BODY, CHARS, key=())

    async def scene(bench: Bench) -> tuple[list[str], list[str | None]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.note", note_row(1, "acme")))
        bench.tape.commit(*dropped("app.note", "app.line"))
        bench.tape.commit(*_alter(Altered(now=bare), Altered(was=bare, now=FIRST)))
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        await bench.archive()
        kinds = [str(found.kind) for entry in await _entries(bench) for found in entry.globals]
        return kinds, [row["id"] for row in (await bench.rows("acme"))["app.note"]]

    kinds, notes = virtually(scene)
    assert kinds == ["snapshot", "drop", "drop", "schema", "schema"]
    assert notes == ["2"]


def test_a_table_that_nobody_declared_stops_the_archiver() -> None:
    """If it is still there when its transaction ends: a leaf is a table of its own until it is attached."""

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        made = _alter(Altered(now=_shape(ID, table="app.memo")))[0]
        bench.tape.commit(made, _ended("app.note"))
        await bench.archive()
        bench.tape.commit(made, _ended("app.note", "app.memo"))
        with pytest.raises(ArchiverStopped, match=r"app\.memo now, and nobody has said whose"):
            await bench.archive()
        return len(await _entries(bench))

    assert virtually(scene) == 1


def _ended(*tables: str) -> Change:
    end = {"tag": "CREATE TABLE", "catalogue": "two", "tables": tables}
    return told(msgspec.json.encode(end).decode())


def test_tables_of_other_schemas_are_nobodys_business() -> None:
    """Neither the lint's nor the archiver's."""

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        made = _alter(Altered(now=_shape(ID, table="cron.job")))[0]
        bench.tape.commit(made, _ended("cron.job", "app.note"))
        await bench.archive()
        return len(await _entries(bench))

    assert virtually(scene) == 1


def test_what_hung_on_a_dropped_column_is_gone_with_it() -> None:
    """Foreign keys and unique columns follow a rename, and go with their column."""
    line = SCHEMA.table("app.line")
    unique = msgspec.structs.replace(line, unique=(("body",), ("id", "note")))
    columns = (ID, _column(2, "of_note", "bigint"))
    was = _shape(ID, _column(2, "note", "bigint"), BODY, table="app.line")
    now = shaped(unique, Altered(was=was, now=_shape(*columns, table="app.line")))
    assert now.unique == (("id", "of_note"),)
    assert [key.columns for key in now.foreign_keys] == [("of_note",)]
    assert shaped(line, Altered(now=_shape(ID, table="app.line"))).foreign_keys == ()


def test_the_reader_learns_columns_and_keeps_the_old_ones() -> None:
    """A capture that restarts tells rows once more as they were then."""
    reader = Reader(schema=SCHEMA, placeholder="")
    content = msgspec.to_builtins(
        {"tag": "x", "altered": [TO_SECOND, Altered(now=_shape(ID, table="x.y"))]}
    )
    list(reader.events(5, _message(DDL_PREFIX, content)))
    for row in ({"id": 1, "words": "w", "mood": None}, {"id": 1, "body": "b"}):
        (event,) = reader.events(6, _row("app.note", row))
        assert isinstance(event, RowEvent)
        assert event.after is not None
    assert altered_in("{") == ()


def _row(table: str, row: object) -> bytes:
    schema, _, name = table.partition(".")
    source = {"schema": schema, "table": name, "lsn": 1, "txId": 700}
    return msgspec.json.encode(
        {"op": "c", "source": source, "transaction": {"total_order": 1}, "after": row}
    )


def test_changed_columns_take_nobodys_rows() -> None:
    """No incident is made of them."""

    async def scene(bench: Bench) -> list[Incident]:
        await _altered(bench)
        manifest = Manifest(bench.store)
        await manifest.catch_up()
        return await find_incidents(bench.store, bench.keys, SCHEMA, manifest.links)

    assert virtually(scene) == []


def test_rows_that_changed_hands_follow_their_tables_too() -> None:
    """A note and its line that went to another tenant, and then got another column each."""
    line = _shape(ID, _column(2, "note", "bigint"), BODY, table="app.line")
    more = msgspec.structs.replace(line, columns=(*line.columns, _column(4, "colour", missing="red")))

    async def scene(bench: Bench) -> dict[str, list[RawRow]]:
        tenants = [("app.tenant", tenant_row(name)) for name in ("acme", "globex")]
        notes = (("app.note", note_row(1, "acme", "hi")), ("app.line", line_row(9, 1)))
        bench.tape.snapshot(*tenants, *notes)
        bench.tape.commit(update("app.note", note_row(1, "acme", "hi"), note_row(1, "globex", "hi")))
        bench.tape.commit(*_alter(TO_SECOND, Altered(was=line, now=more)))
        await bench.archive()
        return await bench.rows("globex")

    rows = virtually(scene)
    assert rows["app.note"] == [{**_second(1, "hi"), "tenant": "globex"}]
    assert rows["app.line"] == [{**line_row(9, 1), "colour": "red"}]


def test_the_way_to_a_tenant_by_a_parent_must_stay() -> None:
    """A path's column is renamed, and the tenant of such rows would be anybody's."""
    line = _shape(ID, _column(2, "note", "bigint"), BODY, table="app.line")
    now = _shape(ID, _column(2, "parent", "bigint"), BODY, table="app.line")
    why = objection(SCHEMA, SCHEMA.table("app.line"), Altered(was=line, now=now))
    assert why == "column note, through which rows find their tenant, was renamed or dropped"
    word = _shape(_column(1, "word"), _column(2, "means", "money"), key=("word",), table="app.word")
    assert objection(SCHEMA, SCHEMA.table("app.word"), Altered(now=word)) is None


def test_a_leaf_gets_its_own_keys_before_it_is_attached() -> None:
    """To a root that is there: else it would be given others. With its root all goes as in the dump."""
    attach = "ALTER TABLE ONLY app.log ATTACH PARTITION app.log_1 DEFAULT;"
    ddl = _dumped(
        ("TABLE", "app", "log", "CREATE TABLE app.log (id bigint) PARTITION BY HASH (id);"),
        ("TABLE", "app", "log_1", "CREATE TABLE app.log_1 (id bigint);"),
        ("TABLE ATTACH", "app", "log_1", attach),
        ("CONSTRAINT", "app", "log_1 log_1_pkey", "ALTER TABLE ONLY app.log_1 ADD CONSTRAINT ...;"),
        ("INDEX ATTACH", "app", "log_1_pkey", "ALTER INDEX app.log_pkey ATTACH PARTITION app.log_1_pkey;"),
    )
    everything = [item.id for item in items(ddl)]
    assert [item.id for item in missing(ddl, frozenset())] == everything
    leaf = [item.kind for item in missing(ddl, frozenset(everything[:1]))]
    assert leaf == ["TABLE", "CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"]
    assert [item.kind for item in missing(ddl, frozenset([*everything[:2], *everything[3:]]))] == [
        "TABLE ATTACH"
    ]


def test_a_cut_between_two_changes_fits_a_target_of_the_second() -> None:
    """What came before the cut is in the rows already; only what came after it is applied."""

    async def scene(bench: Bench) -> list[RawRow]:
        _, second = await _altered(bench)
        target = MemoryTarget()
        target.ddl = "there"
        target.tables = {t.name: tuple(c.name for c in t.columns) for t in SCHEMA.tables}
        target.tables["app.note"] = tuple(THIRD.names.values())
        await bench.restorer().restore("acme", _before(second), target, in_place=True)
        return list(target.swaps[0].rows["app.note"])

    rows = virtually(scene)
    assert [(row["id"], row["mood"]) for row in rows] == [("1", "calm"), ("2", "glad")]
    assert all("words" not in row for row in rows)
