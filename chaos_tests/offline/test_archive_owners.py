"""Whose row is it? Each change goes to its tenant, or the archiver stops with the row's key."""

from __future__ import annotations

import msgspec
import pytest

from fixtures.archive import (
    SCHEMA,
    Change,
    LoopClock,
    Tape,
    delete,
    insert,
    line_row,
    note_row,
    tenant_row,
    truncate,
    update,
)
from harness.model.errors import ArchiverStopped
from harness.model.schema import ByColumn, ByPath, Column, ForeignKey, Schema, Table
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemoryFeed, MemoryIndex
from harness.subject.reference.assembler import Assembler
from harness.subject.reference.format import SHARED, Rehome, old_row
from harness.subject.reference.owners import Owners, Split
from harness.subject.reference.ports import Checkpoint, Pinned, StoredObject


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type="text") for name in names)


def _split(
    *transactions: tuple[Change, ...], index: MemoryIndex | None = None, schema: Schema = SCHEMA
) -> Split:
    """Split transactions one after the other; return the last one."""
    tape = Tape(MemoryFeed(LoopClock()))
    tape.snapshot()
    for changes in transactions:
        tape.commit(*changes)
    owners = Owners(schema=schema, index=index or MemoryIndex())
    assembler = Assembler()
    whole = [found for event in tape.feed.events if (found := assembler.take(event))]
    return [owners.split(transaction) for transaction in whole][-1]


def _tables(split: Split) -> dict[str, list[str]]:
    return {tenant: [c.table for c in part.changes] for tenant, part in split.parts.items()}


def test_a_row_with_a_tenant_column_goes_to_that_tenant() -> None:
    """Two tenants' rows of one transaction go to two parts with the same position."""
    split = _split((insert("app.note", note_row(1, "acme")), insert("app.note", note_row(2, "globex"))))
    assert _tables(split) == {"acme": ["app.note"], "globex": ["app.note"]}
    assert split.parts["acme"].position == split.parts["globex"].position


def test_a_row_with_a_path_goes_to_its_parents_tenant() -> None:
    """Also when the parent came long before."""
    split = _split((insert("app.note", note_row(1, "acme")),), (insert("app.line", line_row(9, 1)),))
    assert _tables(split) == {"acme": ["app.line"]}


def test_a_child_that_comes_before_its_parent_finds_it() -> None:
    """Owners are looked for at the end of the transaction."""
    split = _split((insert("app.line", line_row(9, 1)), insert("app.note", note_row(1, "acme"))))
    assert _tables(split) == {"acme": ["app.line", "app.note"]}


def test_a_child_whose_parent_goes_first_still_finds_it() -> None:
    """A cascade deletes the parent before its children (FM-42), and a deleted parent stays known."""
    split = _split(
        (insert("app.note", note_row(1, "acme")), insert("app.line", line_row(9, 1))),
        (delete("app.note", note_row(1, "acme")),),
        (delete("app.line", line_row(9, 1)),),
    )
    assert _tables(split) == {"acme": ["app.line"]}


def test_a_row_without_a_known_parent_stops_with_its_key() -> None:
    """It is never dropped, and never guessed at."""
    with pytest.raises(ArchiverStopped, match=r"row {'id': '9'} of app\.line is unknown.*'id': '1'"):
        _split((insert("app.line", line_row(9, 1)),))


def test_a_leaf_row_that_changes_hands_is_gone_here_and_new_there() -> None:
    """The old tenant gets a delete with the old image, the new one an insert (FM-41)."""
    notes = (insert("app.note", note_row(1, "acme")), insert("app.note", note_row(2, "globex")))
    move = (update("app.line", line_row(9, 1), line_row(9, 2)),)
    split = _split(notes, (insert("app.line", line_row(9, 1)),), move)
    assert [c.op for c in split.parts["acme"].changes] == ["delete"]
    assert [c.op for c in split.parts["globex"].changes] == ["insert"]
    assert split.parts["acme"].changes[0].before == line_row(9, 1)


def test_a_parent_that_changes_hands_takes_its_descendants_along() -> None:
    """No event says so: an entry in both parts does, and what comes for a line is the new tenant's."""
    note, line = insert("app.note", note_row(1, "acme")), insert("app.line", line_row(9, 1))
    move = update("app.note", note_row(1, "acme"), note_row(1, "globex"))
    split = _split((note, line), (move,))
    home = Rehome(table="app.note", parent={"id": "1"}, origin="acme", to="globex")
    assert {tenant: part.rehomed for tenant, part in split.parts.items()} == {
        "acme": (home,),
        "globex": (home,),
    }
    later = update("app.line", line_row(9, 1), line_row(9, 1, "new"))
    assert _tables(_split((note, line), (move,), (later,))) == {"globex": ["app.line"]}


def test_a_change_of_the_key_too_is_still_one_row() -> None:
    """It comes as a delete and an insert; each says which tenant has the row now, and by which key."""
    split = _split(
        (insert("app.note", note_row(1, "acme", "text")),),
        (
            delete("app.note", note_row(1, "acme", "text")),
            insert("app.note", note_row(8, "globex", "text")),
        ),
    )
    (gone,), (new,) = (split.parts[tenant].changes for tenant in ("acme", "globex"))
    assert (gone.moved, gone.became, new.moved) == ("globex", {"id": "8"}, "acme")


def test_a_delete_beside_an_insert_of_something_else_is_no_move() -> None:
    """Two rows that differ in what is neither key nor tenant are two rows."""
    split = _split(
        (insert("app.note", note_row(1, "acme", "text")),),
        (
            delete("app.note", note_row(1, "acme", "text")),
            insert("app.note", note_row(8, "globex", "other")),
        ),
    )
    assert [change.moved for part in split.parts.values() for change in part.changes] == [None, None]


def test_a_delete_without_its_row_is_no_half_of_anything() -> None:
    """Without the old row nobody can say whether the new one is it: the archiver stops, as ever."""
    with pytest.raises(ArchiverStopped, match="came without the old row"):
        _split((delete("app.note", None), insert("app.note", note_row(8, "globex"))))


def test_a_parent_of_nobody_is_not_remembered() -> None:
    """A NULL on the way to the tenant: the archiver stops at the row, and the index does not hold it."""
    deep = Table(
        name="app.scrap",
        tenancy=ByPath(columns=("line",)),
        key=("id",),
        columns=_columns("id", "line"),
        foreign_keys=(ForeignKey(columns=("line",), parent="app.line", parent_columns=("id",)),),
    )
    schema = msgspec.structs.replace(SCHEMA, tables=(*SCHEMA.tables, deep))
    index = MemoryIndex()
    with pytest.raises(ArchiverStopped, match=r"app\.line has a NULL"):
        _split((insert("app.line", {**line_row(9, 1), "note": None}),), index=index, schema=schema)
    assert index.get("app.line", ("id",), ("9",)) is None


def test_a_row_of_all_key_is_known_by_the_rest_of_its_key() -> None:
    """A ledger's row has nothing but its key: what is not the tenant in it must stay."""
    log = Table(
        name="app.log",
        tenancy=ByColumn(column="tenant"),
        key=("tenant", "op"),
        columns=_columns("tenant", "op"),
    )
    schema = msgspec.structs.replace(SCHEMA, tables=(*SCHEMA.tables, log))
    rows: list[RawRow] = [
        {"tenant": "acme", "op": "a"},
        {"tenant": "globex", "op": "a"},
        {"tenant": "globex", "op": "b"},
    ]
    moved = _split((delete("app.log", rows[0]), insert("app.log", rows[1])), schema=schema)
    other = _split((delete("app.log", rows[0]), insert("app.log", rows[2])), schema=schema)
    assert moved.parts["acme"].changes[0].moved == "globex"
    assert other.parts["acme"].changes[0].moved is None


def test_shared_rows_go_to_the_pseudo_tenant() -> None:
    """A lookup table's rows belong to nobody."""
    split = _split((insert("app.word", {"word": "tea", "means": None}),))
    assert _tables(split) == {SHARED: ["app.word"]}


def test_rows_of_plumbing_are_not_archived() -> None:
    """An outbox is never restored."""
    assert _split((insert("app.outbox", {}),)).parts == {}


def test_a_truncate_concerns_everybody() -> None:
    """It is a global entry with its place in the transaction."""
    (found,) = _split((truncate("app.line"),)).globals
    assert (found.kind, found.table, found.order) == ("truncate", "app.line", 1)


def test_a_table_that_was_not_declared_stops() -> None:
    """A table that came later is not silently left out (FM-56)."""
    with pytest.raises(ArchiverStopped, match=r"table app\.later is captured"):
        _split((insert("app.later", {"id": "1"}),))


@pytest.mark.parametrize(
    "row",
    [
        {"id": "1", "name": "", "added": "x"},
        {"id": "1"},
    ],
    ids=["added", "dropped"],
)
def test_other_columns_than_the_declared_ones_stop(row: dict[str, str | None]) -> None:
    """A DDL on a captured table never passes unseen (FM-57)."""
    with pytest.raises(ArchiverStopped, match=r"rows of app\.tenant have columns"):
        _split((insert("app.tenant", row),))


def test_a_generated_column_may_be_missing() -> None:
    """Before Postgres 18 generated columns are not published (FM-60)."""
    row = {k: v for k, v in note_row(1, "acme").items() if k != "chars"}
    assert _tables(_split((insert("app.note", row),))) == {"acme": ["app.note"]}


@pytest.mark.parametrize(
    "change",
    [update("app.note", None, note_row(1, "acme")), delete("app.note", None)],
    ids=["update", "delete"],
)
def test_a_change_without_the_old_row_stops(change: Change) -> None:
    """Replica identity must be FULL (FM-40), and the cure says so."""
    with pytest.raises(ArchiverStopped) as stopped:
        _split((change,))
    assert "REPLICA IDENTITY FULL" in stopped.value.cure


def test_a_null_on_the_way_to_the_tenant_stops() -> None:
    """A row without an owner is nobody's, which the schema must not allow."""
    with pytest.raises(ArchiverStopped, match=r"row {'id': '1'} of app\.note has a NULL"):
        _split((insert("app.note", {**note_row(1, "acme"), "tenant": None}),))


def test_an_update_keeps_only_the_old_cells_that_changed() -> None:
    """Full images double a row; what did not change stands in the new image."""
    before, after = note_row(1, "acme", "long" * 99), note_row(2, "acme", "long" * 99)
    (change,) = (
        _split((insert("app.note", before),), (update("app.note", before, after),)).parts["acme"].changes
    )
    assert change.before == {"id": "1"}
    assert old_row(change) == before


def test_owners_survive_a_restart_once_flushed() -> None:
    """What the index has flushed is known to the next archiver."""
    index = MemoryIndex()
    _split((insert("app.note", note_row(1, "acme")),), index=index)
    at = Pinned(stored=StoredObject(key="manifest/1", version="v1", size_bytes=9), sha256="00ff")
    index.flush(Checkpoint(last=at))
    index.forget()
    assert _tables(_split((insert("app.line", line_row(9, 1)),), index=index)) == {"acme": ["app.line"]}


def test_a_tenants_own_row_is_a_row_like_any_other() -> None:
    """The root table's tenant column is its key."""
    assert _tables(_split((insert("app.tenant", tenant_row("acme")),))) == {"acme": ["app.tenant"]}
