"""Rows that change hands: archived for both tenants, restored on both sides, taken back and left alone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from fixtures.archive import (
    SCHEMA,
    Bench,
    Change,
    delete,
    insert,
    line_row,
    note_row,
    tenant_row,
    truncate,
    update,
    virtually,
)
from harness.model.errors import RestoreRefused
from harness.model.history import Cut
from harness.model.position import Xid
from harness.model.schema import ByPath, Column, ForeignKey, Schema, Table
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemoryIndex, MemoryTarget
from harness.simulate.loop import run
from harness.subject.reference.fold import Keeps
from harness.subject.reference.format import Part, Rehome, RowChange
from harness.subject.reference.hands import fold_together, taken_away
from harness.subject.reference.homes import Homes
from harness.subject.reference.manifest import Link
from harness.subject.reference.ports import Swap, Taken
from harness.subject.reference.restorer import Restorer

ACME, GLOBEX = tenant_row("acme"), tenant_row("globex")
LINE = insert("app.line", line_row(9, 1))
NOTE = insert("app.note", note_row(1, "acme"))
MOVE = update("app.note", note_row(1, "acme"), note_row(1, "globex"))
BACK = update("app.note", note_row(1, "globex"), note_row(1, "acme"))

DEEP: Schema = msgspec.structs.replace(
    SCHEMA,
    tables=(
        *SCHEMA.tables,
        Table(
            name="app.scrap",
            tenancy=ByPath(columns=("line",)),
            key=("id",),
            columns=(Column(name="id", type="text"), Column(name="line", type="bigint")),
            foreign_keys=(ForeignKey(columns=("line",), parent="app.line", parent_columns=("id",)),),
        ),
    ),
)


def scrap(number: int, line: int) -> RawRow:
    """Return a row two floors below a note."""
    return {"id": str(number), "line": str(line)}


def rows_of(tenant: str, *transactions: tuple[Change, ...], cut: Cut = Cut()) -> dict[str, list[RawRow]]:  # noqa: B008
    """Return what a restore of ``tenant`` would put in place after these transactions."""

    async def scene() -> dict[str, list[RawRow]]:
        bench = Bench(DEEP)
        bench.tape.snapshot(("app.tenant", ACME), ("app.tenant", GLOBEX))
        for changes in transactions:
            bench.tape.commit(*changes)
        await bench.archive()
        return await bench.rows(tenant, cut)

    return run(scene())


def test_descendants_come_with_the_parent() -> None:
    """The new tenant's rows are read from the old one's blocks, however deep they hang."""
    tree = (NOTE, LINE, insert("app.scrap", scrap(5, 9)))
    assert rows_of("globex", tree, (MOVE,)) == {
        "app.tenant": [GLOBEX],
        "app.note": [note_row(1, "globex")],
        "app.line": [line_row(9, 1)],
        "app.scrap": [scrap(5, 9)],
    }
    assert rows_of("acme", tree, (MOVE,)) == {"app.tenant": [ACME]}


def test_before_the_move_they_are_the_old_tenants() -> None:
    """A cut just before the transaction gives everything back to whom it was taken from."""
    moved = Cut(epoch=1, xid=702)
    assert rows_of("acme", (NOTE, LINE), (MOVE,), cut=moved) == {
        "app.tenant": [ACME],
        "app.note": [note_row(1, "acme")],
        "app.line": [line_row(9, 1)],
    }
    assert rows_of("globex", (NOTE, LINE), (MOVE,), cut=moved) == {"app.tenant": [GLOBEX]}


def test_what_happens_after_the_move_happens_to_the_new_tenant() -> None:
    """Lines that change, go, or come after it are the new tenant's; what moves back is the old one's."""
    later = (update("app.line", line_row(9, 1), line_row(9, 1, "new")), insert("app.line", line_row(10, 1)))
    assert rows_of("globex", (NOTE, LINE), (MOVE,), later)["app.line"] == [
        line_row(9, 1, "new"),
        line_row(10, 1),
    ]
    assert rows_of("globex", (NOTE, LINE), (MOVE, *later))["app.line"] == [
        line_row(9, 1, "new"),
        line_row(10, 1),
    ]
    assert rows_of("acme", (NOTE, LINE), (MOVE,), later) == {"app.tenant": [ACME]}
    assert rows_of("acme", (NOTE, LINE), (MOVE,), later, (BACK,))["app.line"] == [
        line_row(9, 1, "new"),
        line_row(10, 1),
    ]
    assert rows_of("globex", (NOTE, LINE), (MOVE,), later, (BACK,)) == {"app.tenant": [GLOBEX]}


def test_a_line_that_is_taken_out_first_stays() -> None:
    """A row that is pointed at another parent in the same transaction does not go with the old one."""
    other = insert("app.note", note_row(2, "acme"))
    apart = update("app.line", line_row(9, 1), line_row(9, 2))
    for moving in ((apart, MOVE), (MOVE, apart)):
        assert rows_of("acme", (NOTE, other, LINE), moving)["app.line"] == [line_row(9, 2)]
        assert "app.line" not in rows_of("globex", (NOTE, other, LINE), moving)


def test_a_parent_with_another_key_still_takes_its_lines_along() -> None:
    """What counts is the cells that the lines refer to, whatever else changes."""
    again = insert("app.note", note_row(1, "globex", "another text"))
    moving = (delete("app.note", note_row(1, "acme")), again)
    assert rows_of("globex", (NOTE, LINE), moving)["app.line"] == [line_row(9, 1)]
    assert rows_of("acme", (NOTE, LINE), moving) == {"app.tenant": [ACME]}


def test_global_entries_hold_for_rows_that_came_from_others() -> None:
    """A TRUNCATE empties the table for everybody, those whose rows are folded along included."""
    assert rows_of("globex", (NOTE, LINE), (truncate("app.line"),), (MOVE,)) == {
        "app.tenant": [GLOBEX],
        "app.note": [note_row(1, "globex")],
    }


def test_rows_given_by_mistake_are_left_out() -> None:
    """Nor is what was done to them since, or hung below them, the tenant's; its own writes are."""
    without = Cut(without=(Xid(epoch=1, xid=702),))
    later = (
        update("app.note", note_row(1, "globex"), note_row(1, "globex", "new")),
        insert("app.line", line_row(10, 1)),
        insert("app.scrap", scrap(5, 10)),
        insert("app.note", note_row(3, "globex")),
    )
    assert rows_of("globex", (NOTE, LINE), (MOVE,), later, cut=without) == {
        "app.tenant": [GLOBEX],
        "app.note": [note_row(3, "globex")],
    }
    changed = (delete("app.note", note_row(1, "acme")), insert("app.note", note_row(1, "globex", "x")))
    assert rows_of("globex", (NOTE, LINE), changed, cut=without) == {"app.tenant": [GLOBEX]}


def test_what_a_snapshot_since_shows_as_anybodys_is_not_left_out_in_silence() -> None:
    """A repair of the capture stands for the rows as they are: whose they were before, it can't say."""

    async def scene(bench: Bench) -> dict[str, list[RawRow]]:
        bench.tape.snapshot(("app.tenant", ACME), ("app.tenant", GLOBEX))
        bench.tape.commit(NOTE)
        moved = bench.tape.commit(MOVE)
        bench.tape.heartbeat()
        before = bench.tape.lsn
        await bench.archive()
        bench.feed.committed = len(bench.feed.events)
        bench.tape.snapshot(
            ("app.tenant", ACME), ("app.tenant", GLOBEX), ("app.note", note_row(1, "globex"))
        )
        bench.tape.heartbeat()
        await bench.archive()
        without = (Xid(epoch=1, xid=moved),)
        with pytest.raises(RestoreRefused, match="can't be left out"):
            await bench.rows("globex", Cut(without=without))
        return await bench.rows("globex", Cut(epoch=1, lsn_lower=before, lsn_upper=before, without=without))

    assert virtually(scene) == {"app.tenant": [GLOBEX]}


def test_a_snapshot_begins_anew_for_all() -> None:
    """What came before it is void, moves included."""

    async def scene(bench: Bench) -> dict[str, list[RawRow]]:
        bench.tape.snapshot(("app.tenant", GLOBEX), ("app.note", note_row(1, "acme")))
        bench.tape.commit(MOVE)
        bench.tape.snapshot(("app.tenant", GLOBEX), ("app.note", note_row(4, "globex")))
        bench.tape.commit(NOTE, update("app.note", note_row(1, "acme"), note_row(1, "globex")))
        bench.tape.heartbeat()
        await bench.archive()
        return await bench.rows("globex", Cut(without=(Xid(epoch=9, xid=9),)))

    assert virtually(scene)["app.note"] == [note_row(4, "globex"), note_row(1, "globex")]


class IgnoresRehoming(Restorer):
    """Planted: folds a tenant's own parts, whatever came to it, or went, with a parent."""

    async def fold_together(
        self,
        tenant: str,  # noqa: ARG002 - takes the place of the reference's
        cut: Cut,  # noqa: ARG002
        links: Sequence[Link],
        parts: Sequence[Part],
        keeps: Keeps,
    ) -> dict[str, list[RawRow]]:
        """Fold the tenant's own parts."""
        globals_ = [one for link in links for one in link.entry.globals]
        return self.fold(self.schema.owned, parts, globals_, keeps)


class FoldsTogetherAlways(Restorer):
    """Near miss: reads the blocks of those too from whom nothing came."""

    async def fold_together(
        self, tenant: str, cut: Cut, links: Sequence[Link], parts: Sequence[Part], keeps: Keeps
    ) -> dict[str, list[RawRow]]:
        """Read another tenant's blocks first."""
        await self.reader.parts("hooli", links)
        return await super().fold_together(tenant, cut, links, parts, keeps)


@pytest.mark.parametrize(("kind", "right"), [(IgnoresRehoming, False), (FoldsTogetherAlways, True)])
def test_a_restorer_that_ignores_a_rehoming_is_seen(kind: type[Restorer], right: bool) -> None:
    """The new tenant lacks what hung below the parent, and the old one still has it."""

    async def scene(bench: Bench) -> list[bool]:
        bench.tape.snapshot(("app.tenant", ACME), ("app.tenant", GLOBEX))
        bench.tape.commit(NOTE, LINE)
        bench.tape.commit(MOVE)
        await bench.archive()
        restorer = kind(schema=bench.schema, store=bench.store, keys=bench.keys, trust=bench.trust)
        await restorer.manifest.catch_up()
        links = restorer.links_for(Cut())
        swaps = [await restorer.swap_for(t, Cut(), links, in_place=False) for t in ("acme", "globex")]
        return [bool(swap.rows["app.line"]) for swap in swaps]

    assert (virtually(scene) == [False, True]) is right


def swap_of(tenant: str, xid: int, *transactions: tuple[Change, ...]) -> Swap:
    """Return what a restore in place of ``tenant`` just before ``xid`` hands to the target."""

    async def scene(bench: Bench) -> Swap:
        bench.tape.snapshot(("app.tenant", ACME), ("app.tenant", GLOBEX))
        for changes in transactions:
            bench.tape.commit(*changes)
            await bench.archive()
        target = MemoryTarget()
        await bench.restorer().restore(tenant, Cut(epoch=1, xid=xid), target, in_place=True)
        return target.swaps[0]

    return virtually(scene)


def test_a_restore_takes_back_what_went_to_others() -> None:
    """The row itself by its key, a parent by the cells that others refer to as well."""
    note, line = Taken(table="app.note", columns=("id",), cells=(("1",),)), ("9",)
    assert swap_of("acme", 702, (NOTE, LINE), (MOVE,)).taken == (note,)
    other = insert("app.note", note_row(2, "globex"))
    leaf = update("app.line", line_row(9, 1), line_row(9, 2))
    found = swap_of("acme", 702, (NOTE, other, LINE), (leaf,))
    assert found.taken == (Taken(table="app.line", columns=("id",), cells=(line,)),)
    assert found.rows["app.line"] == [line_row(9, 1)]


def test_a_restore_takes_nothing_back_that_was_only_lent() -> None:
    """What came to a tenant after its cut, and went back since, is not its own."""
    assert swap_of("globex", 702, (NOTE, LINE), (MOVE,), (BACK,)).taken == ()
    assert swap_of("globex", 702, (NOTE,), (insert("app.note", note_row(5, "globex")),)).taken == ()


def test_a_restore_takes_back_what_came_after_its_cut_and_went() -> None:
    """A row born after the cut and moved by a second run is set aside like any other later row."""
    born = insert("app.note", note_row(6, "acme"))
    again = update("app.note", note_row(6, "acme"), note_row(6, "globex"))
    (taken,) = swap_of("acme", 702, (NOTE,), (MOVE,), (born,), (again,)).taken
    assert taken.cells == (("1",), ("6",))


def test_the_trail_is_followed_wherever_the_rows_went() -> None:
    """Another key, a third tenant, gone, or back already: what is taken is what somebody else has now."""
    on = update("app.note", note_row(1, "globex"), note_row(1, "hooli"))
    rekeyed = (delete("app.note", note_row(1, "globex")), insert("app.note", note_row(7, "globex")))
    changed = (update("app.note", note_row(1, "globex"), note_row(1, "globex", "new")),)
    gone = (delete("app.note", note_row(1, "globex")),)
    notes = {"third": (on,), "rekeyed": rekeyed, "changed": changed, "gone": gone, "back": (BACK,)}
    found = {name: swap_of("acme", 702, (NOTE,), (MOVE,), later).taken for name, later in notes.items()}
    assert {name: [one.cells for one in taken] for name, taken in found.items()} == {
        "third": [(("1",),)],
        "rekeyed": [(("7",),)],
        "changed": [(("1",),)],
        "gone": [],
        "back": [],
    }


def test_a_leaf_that_went_on_or_back_is_followed_too() -> None:
    """A row that others do not hang on has no entry of its own: its changes say where it is."""
    notes = (NOTE, insert("app.note", note_row(2, "globex")), LINE)
    leaf = update("app.line", line_row(9, 1), line_row(9, 2))
    back = update("app.line", line_row(9, 2), line_row(9, 1))
    gone = delete("app.line", line_row(9, 2))
    other = update("app.note", note_row(2, "globex"), note_row(2, "globex", "new"))
    assert swap_of("acme", 702, notes, (leaf,), (back,)).taken == ()
    assert swap_of("acme", 702, notes, (leaf,), (gone,)).taken == ()
    (taken,) = swap_of("acme", 702, notes, (leaf,), (other,)).taken
    assert taken.cells == (("9",),)
    assert swap_of("globex", 702, notes, (leaf,), (back,)).taken == ()


def test_tables_of_an_older_schema_are_passed_over() -> None:
    """What an archive holds of a table that is no longer declared leads to no row."""
    old = RowChange(order=1, table="app.gone", op="insert", after={"id": "1"}, moved="acme")
    part = Part(
        epoch=1, lsn=9, xid=7, changes=(old,), rehomed=(Rehome(table="x", parent={}, origin="a", to="b"),)
    )
    rows = fold_together({"globex": [part]}, (), schema=SCHEMA, cut=Cut(), keeps=lambda _: True)
    assert not any(rows["globex"].values())
    assert taken_away({"globex": [part]}, "globex", {}) == ()
    Homes(schema=SCHEMA, index=MemoryIndex()).remember([part])


@pytest.mark.parametrize("lost", [True, False])
def test_the_index_knows_moves_after_a_restart(lost: bool) -> None:
    """Rebuilt from the archive, in commit order, or read from its file: lines go where their note went."""

    async def scene(bench: Bench) -> dict[str, list[RawRow]]:
        bench.tape.snapshot(("app.tenant", ACME), ("app.tenant", GLOBEX))
        bench.tape.commit(NOTE, LINE)
        bench.tape.commit(MOVE)
        await bench.archive()
        if lost:
            bench.index.lose()
        bench.tape.commit(insert("app.line", line_row(10, 1)))
        await bench.archive()
        return await bench.rows("globex")

    assert virtually(scene)["app.line"] == [line_row(9, 1), line_row(10, 1)]
