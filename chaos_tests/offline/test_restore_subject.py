"""The reference system as a subject: what it claims, what it names, and how failures become results."""

from __future__ import annotations

import asyncio

from fixtures.archive import FLUSH_S, SYSTEM, Bench, insert, note_row, tenant_row, virtually
from harness.model.history import Cut
from harness.simulate.archive_ports import MemoryTarget
from harness.subject.reference.subject import ReferenceSubject


def _subject(
    bench: Bench, target: MemoryTarget | None = None, stopped: str | None = None
) -> ReferenceSubject:
    return ReferenceSubject(
        store=bench.store,
        restorer=bench.restorer(),
        targets={"live": target or MemoryTarget(), "scratch": MemoryTarget()},
        clock=bench.clock,
        flush_interval_s=FLUSH_S,
        stopped=lambda: stopped,
    )


def test_an_empty_archive_has_no_watermark_and_knows_no_cluster() -> None:
    """Before the first entry there is nothing to claim."""

    async def scene(bench: Bench) -> tuple[object, int]:
        subject = _subject(bench)
        return await subject.watermark(), await subject.epoch(SYSTEM, 1)

    assert virtually(scene) == (None, 0)


def test_the_watermark_is_the_last_entrys_end() -> None:
    """And the epoch table says whose it is."""

    async def scene(bench: Bench) -> tuple[int, int, int]:
        subject = _subject(bench)
        bench.tape.snapshot()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        await bench.archive()
        mark = await subject.watermark()
        assert mark is not None
        return mark.position.epoch, mark.position.lsn, await subject.epoch(SYSTEM, 1)

    assert virtually(scene) == (1, 1020, 1)


def test_exposure_is_claimed_only_of_a_watermark_that_was_seen_to_move() -> None:
    """An old archive, looked at once, says nothing; a moving one bounds what could be lost."""

    async def scene(bench: Bench) -> list[float | None]:
        bench.tape.snapshot()
        await bench.archive()
        subject = _subject(bench)
        claims = [(await subject.watermark()).exposure_s]  # type: ignore[union-attr]
        bench.tape.heartbeat()
        await bench.archive()
        claims.append((await subject.watermark()).exposure_s)  # type: ignore[union-attr]
        await bench.clock.sleep(7.0)
        claims.append((await subject.watermark()).exposure_s)  # type: ignore[union-attr]
        return claims

    assert virtually(scene) == [None, 2 * FLUSH_S, 7.0 + 2 * FLUSH_S]


def test_the_state_says_behind_breached_and_stopped() -> None:
    """When exposure passes the budget, the system says so."""

    async def scene(bench: Bench) -> list[str]:
        subject = _subject(bench)
        await subject.watermark()
        bench.tape.snapshot()
        await bench.archive()
        states = []
        for wait_s in (0.0, 10.0, 300.0):
            await bench.clock.sleep(wait_s)
            states.append((await subject.watermark()).state)  # type: ignore[union-attr]
        return [*states, (await _subject(bench, stopped="a DDL").watermark()).state]  # type: ignore[union-attr]

    assert virtually(scene) == ["ok", "behind", "breached", "stopped"]


def test_needs_are_named_in_order_and_are_enough() -> None:
    """A restore up to a position works with exactly the objects named up to there."""

    async def scene(bench: Bench) -> list[tuple[int, int]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        for number in range(3):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
            await bench.archive()
        needs, found, objects = await _subject(bench).needs(), [], set()
        everything = dict(bench.store.versions)
        for need in needs:
            objects |= {key for key, _ in need.objects}
            bench.store.versions = {key: everything[key] for key in objects}
            rows = await bench.rows("acme", Cut(epoch=need.epoch, lsn_lower=need.lsn))
            found.append((need.lsn, len(rows.get("app.note", []))))
        return found

    assert virtually(scene) == [(1010, 0), (1020, 1), (1030, 2), (1040, 3)]


def test_a_restore_waits_for_a_living_archive_to_reach_the_cut() -> None:
    """What was committed just before the damage is on its way, and worth a moment."""

    async def scene(bench: Bench) -> int:
        target = MemoryTarget()
        subject = _subject(bench, target)
        bench.tape.snapshot()
        running = asyncio.ensure_future(bench.archiver().run())
        await subject.watermark()
        await bench.clock.sleep(2.5)
        await subject.watermark()
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        lower = bench.tape.lsn
        damage = bench.tape.commit(insert("app.note", note_row(2, "acme")))
        cut = Cut(epoch=1, xid=damage, lsn_lower=lower, lsn_upper=bench.tape.lsn)
        result = await subject.restore("acme", cut, "live")
        running.cancel()
        assert target.swaps[0].set_aside
        return result.rows

    assert virtually(scene) == 1


def test_a_restore_does_not_wait_for_a_dead_archive() -> None:
    """Nothing more will come after a destruction."""

    async def scene(bench: Bench) -> tuple[str, float]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        subject, began_s = _subject(bench), bench.clock.now_s()
        cut = Cut(epoch=1, xid=9, lsn_lower=1 << 40)
        result = await subject.restore("acme", cut, "scratch")
        return result.result, bench.clock.now_s() - began_s

    assert virtually(scene) == ("restored", 0.0)


def test_a_refusal_and_a_failure_are_results_with_their_reason() -> None:
    """A drill goes on and judges them."""

    async def scene(bench: Bench) -> list[tuple[str, str]]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        refused = await _subject(bench, MemoryTarget(refuses="slug taken")).restore("acme", Cut(), "live")
        bench.keys.keys.clear()
        failed = await _subject(bench).restore("acme", Cut(), "scratch")
        return [(refused.result, refused.detail), (failed.result, failed.detail)]

    (refused, reason), (failed, cause) = virtually(scene)
    assert (refused, reason) == ("refused", "slug taken")
    assert failed == "failed"
    assert "not in the key store" in cause
