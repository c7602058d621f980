"""How an operator finds the cut: incidents and times, from the archive alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fixtures.archive import (
    Bench,
    delete,
    insert,
    line_row,
    note_row,
    tenant_row,
    truncate,
    update,
    virtually,
)
from harness.model.errors import BadInput
from harness.subject.reference.incidents import (
    Incident,
    NamedCut,
    cut_before_time,
    find_incidents,
    numbered,
    read_time,
)
from harness.subject.reference.manifest import Manifest
from harness.subject.reference.ports import End

NOON_MS = 1_775_390_400_000


async def _incidents(bench: Bench) -> list[Incident]:
    await bench.archive()
    manifest = Manifest(bench.store, bench.trust)
    await manifest.catch_up()
    return await find_incidents(bench.store, bench.keys, bench.schema, manifest.links)


def _fill(bench: Bench) -> None:
    """Two tenants with four rows each, one line under a note among them."""
    bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.tenant", tenant_row("globex")))
    for n, tenant in ((1, "acme"), (2, "globex")):
        bench.tape.commit(
            insert("app.note", note_row(n, tenant)),
            insert("app.note", note_row(10 + n, tenant)),
            insert("app.line", line_row(n, n)),
        )


def _take(number: int, tenant: str) -> list[tuple[str, str, dict[str, str | None], None]]:
    return [
        ("delete", "app.line", line_row(number, number), None),
        ("delete", "app.note", note_row(number, tenant), None),
        ("delete", "app.note", note_row(10 + number, tenant), None),
    ]


def test_a_parent_that_changes_hands_takes_its_descendants_from_its_tenant() -> None:
    """No event says so, and yet most of the tenant is gone; and once back, it can be lost again."""

    async def scene(bench: Bench) -> list[Incident]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")), ("app.tenant", tenant_row("globex")))
        lines = [insert("app.line", line_row(n, 1)) for n in range(5)]
        bench.tape.commit(insert("app.note", note_row(1, "acme")), *lines)
        bench.tape.commit(delete("app.line", line_row(0, 1)))
        bench.tape.commit(update("app.note", note_row(1, "acme"), note_row(1, "globex")))
        bench.tape.commit(update("app.note", note_row(1, "globex"), note_row(1, "acme")))
        bench.tape.commit(*(delete("app.line", line_row(n, 1)) for n in range(1, 5)))
        return await _incidents(bench)

    found = virtually(scene)
    assert [[(loss.tenant, loss.rows, loss.had) for loss in one.losses] for one in found] == [
        [("acme", 5, 6)],
        [("globex", 5, 6)],
        [("acme", 4, 6)],
    ]


def test_a_deletion_is_found_with_all_that_is_known_of_it() -> None:
    """Xid, position, time, tenants, tables and rows; and the cut before it restores what was there."""

    async def scene(bench: Bench) -> tuple[Incident, int, int]:
        _fill(bench)
        bench.tape.begin()
        for order, change in enumerate((*_take(1, "acme"), *_take(2, "globex")), 1):
            bench.tape.piece(order, change)
        bench.tape.lsn += 10
        bench.feed.append(
            lambda offset: End(
                offset=offset, xid=bench.tape.xid, lsn=bench.tape.lsn, count=6, committed_ms=NOON_MS
            )
        )
        xid = bench.tape.xid
        bench.tape.commit(insert("app.note", note_row(50, "acme", "zombie")))
        (found,) = await _incidents(bench)
        return found, xid, len((await bench.rows("acme", found.cut))["app.note"])

    found, xid, notes = virtually(scene)
    assert (found.number, found.xid, found.at) == (1, f"1:{xid}", "2026-04-05T12:00:00.000+00:00")
    assert [(loss.tenant, loss.rows, loss.had) for loss in found.losses] == [
        ("acme", 3, 4),
        ("globex", 3, 4),
    ]
    assert found.tables == {"app.line": 2, "app.note": 4}
    assert (found.rows, notes) == (6, 2)


def test_a_truncate_takes_from_everybody() -> None:
    """It has no row events, and no transaction of a tenant; it is found all the same (FM-7)."""

    async def scene(bench: Bench) -> list[Incident]:
        _fill(bench)
        bench.tape.commit(truncate("app.line"), truncate("app.note"))
        return await _incidents(bench)

    (found,) = virtually(scene)
    assert [loss.tenant for loss in found.losses] == ["acme", "globex"]
    assert found.tables == {"app.line": 2, "app.note": 4}


def test_rows_moved_to_another_tenant_are_lost_to_the_first_one() -> None:
    """Whatever takes a tenant's rows away, by effect."""

    async def scene(bench: Bench) -> list[Incident]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(update("app.tenant", tenant_row("acme"), tenant_row("globex")))
        return await _incidents(bench)

    (found,) = virtually(scene)
    assert [(loss.tenant, loss.rows, loss.had) for loss in found.losses] == [("acme", 1, 1)]


def test_ordinary_work_is_no_incident() -> None:
    """A few deletes, changed keys, rows replaced within a transaction, a snapshot: nobody lost most."""

    async def scene(bench: Bench) -> list[Incident]:
        _fill(bench)
        bench.tape.commit(delete("app.note", note_row(11, "acme")))
        bench.tape.commit(
            update("app.note", note_row(2, "globex"), note_row(3, "globex")),
            update("app.note", note_row(12, "globex"), note_row(13, "globex")),
            update("app.tenant", tenant_row("globex"), tenant_row("globex", "new")),
        )
        bench.tape.commit(
            delete("app.tenant", tenant_row("acme")),
            delete("app.note", note_row(1, "acme")),
            insert("app.note", note_row(1, "acme", "again")),
            insert("app.tenant", tenant_row("acme")),
        )
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        return await _incidents(bench)

    assert virtually(scene) == []


def test_an_incident_is_chosen_by_its_number() -> None:
    """One that there is not is one clear error."""

    async def scene(bench: Bench) -> list[Incident]:
        _fill(bench)
        bench.tape.commit(*_take(1, "acme"))
        bench.tape.commit(*_take(2, "globex"))
        return await _incidents(bench)

    found = virtually(scene)
    assert [numbered(found, n).losses[0].tenant for n in (1, 2)] == ["acme", "globex"]
    for number in (0, 3):
        with pytest.raises(BadInput, match=f"no incident {number}"):
            numbered(found, number)


def _commit_at(bench: Bench, ms: int, *changes: tuple[str, str, object, object]) -> None:
    bench.tape.begin()
    for order, change in enumerate(changes, 1):
        bench.tape.piece(order, change)  # type: ignore[arg-type]  # the makers give changes
    bench.tape.lsn += 10
    xid, lsn = bench.tape.xid, bench.tape.lsn
    bench.feed.append(
        lambda offset: End(offset=offset, xid=xid, lsn=lsn, count=len(changes), committed_ms=ms)
    )


async def _chosen(bench: Bench, at_ms: float) -> tuple[NamedCut, list[str | None]]:
    await bench.archive()
    restorer = bench.restorer()
    found = await restorer.cut_before_time("acme", datetime.fromtimestamp(at_ms / 1000, UTC))
    rows = await bench.rows("acme", found.cut)
    return found, [row["id"] for row in rows.get("app.note", [])]


def _notes_at(bench: Bench, *times_ms: int) -> None:
    bench.tape.snapshot(("app.tenant", tenant_row("acme")))
    for number, ms in enumerate(times_ms, 1):
        _commit_at(bench, ms, insert("app.note", note_row(number, "acme")))


def test_a_time_becomes_the_position_before_the_first_later_transaction() -> None:
    """And both neighbours of the cut are named with their times."""

    async def scene(bench: Bench) -> tuple[NamedCut, list[str | None]]:
        _notes_at(bench, NOON_MS, NOON_MS + 1000, NOON_MS + 2000)
        return await _chosen(bench, NOON_MS + 1500)

    found, notes = virtually(scene)
    assert notes == ["1", "2"]
    assert "cut just before transaction 1:703 at 1:0/410 of 2026-04-05T12:00:02.000+00:00" in found.words
    assert "last one kept: transaction 1:702 at 1:0/406 of 2026-04-05T12:00:01.000+00:00" in found.words
    assert "ambiguous" not in found.words


def test_a_clock_that_went_back_is_named() -> None:
    """Commit order decides; what is left out though it looks early is said (FM-31)."""

    async def scene(bench: Bench) -> tuple[NamedCut, list[str | None]]:
        _notes_at(bench, NOON_MS, NOON_MS + 9000, NOON_MS + 1000)
        return await _chosen(bench, NOON_MS + 1500)

    found, notes = virtually(scene)
    assert notes == ["1"]
    assert "ambiguous: the clock went back" in found.words
    assert "transaction 1:703" in found.words


def test_a_truncate_of_unknown_time_is_left_out_and_named() -> None:
    """Archives from before its time was kept have it; a known one is treated like any other change."""

    async def scene(bench: Bench) -> list[tuple[NamedCut, list[str | None]]]:
        _notes_at(bench, NOON_MS)
        bench.tape.commit(truncate("app.note"))
        return [await _chosen(bench, NOON_MS + 500)]

    async def known(bench: Bench) -> list[tuple[NamedCut, list[str | None]]]:
        _notes_at(bench, NOON_MS)
        _commit_at(bench, NOON_MS + 1000, truncate("app.note"))
        return [await _chosen(bench, NOON_MS + ms) for ms in (500, 1500)]

    ((unknown, notes),) = virtually(scene)
    assert notes == ["1"]
    assert "ambiguous: when that TRUNCATE or DROP was committed is unknown" in unknown.words
    before, after = virtually(known)
    assert (before[1], after[1]) == (["1"], [])
    assert "ambiguous" not in before[0].words


def test_a_time_after_everything_is_the_archives_end() -> None:
    """Which is said, with its position."""

    async def scene(bench: Bench) -> tuple[NamedCut, list[str | None]]:
        _notes_at(bench, NOON_MS)
        return await _chosen(bench, NOON_MS + 1)

    found, notes = virtually(scene)
    assert notes == ["1"]
    assert "cut at the archive's end, 1:0/3FC" in found.words


@pytest.mark.parametrize("text", ["yesterday", "2026-04-05T07:38:00", ""])
def test_a_time_without_its_offset_is_refused(text: str) -> None:
    """Whose seven o'clock it is must not be guessed."""
    with pytest.raises(BadInput, match="not a time with its offset"):
        read_time(text)


def test_nothing_at_all_is_cut_at_the_end() -> None:
    """Without a single part there is nothing to choose between."""
    assert cut_before_time(read_time("2026-04-05T07:38:00Z"), [], [], "1:0/1").cut.epoch == 0
