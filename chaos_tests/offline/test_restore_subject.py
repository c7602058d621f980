"""The reference system as a subject: what it claims, what it names, and how failures become results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fixtures.archive import FLUSH_S, SYSTEM, Bench, insert, note_row, tenant_row, virtually
from harness.model.errors import NotWhole, RestoreRefused
from harness.model.history import Cut, Place
from harness.model.values import RawRow
from harness.simulate.archive_ports import MemoryTarget
from harness.subject.port import RestoreResult
from harness.subject.reference.health import PROMISE_S
from harness.subject.reference.ports import StoreUnavailable, Swap, Swapped, TargetUnavailable
from harness.subject.reference.subject import LATE_LIMIT_S, REACH_LIMIT_S, RESTORE_LIMIT_S, ReferenceSubject


def _subject(
    bench: Bench,
    target: MemoryTarget | None = None,
    stopped: str | None = None,
    promise_s: float = PROMISE_S,
    lives: Callable[[], bool] = lambda: False,
) -> ReferenceSubject:
    return ReferenceSubject(
        store=bench.store,
        restorer=bench.restorer(),
        targets={"live": target or MemoryTarget(), "scratch": MemoryTarget()},
        clock=bench.clock,
        flush_interval_s=FLUSH_S,
        promise_s=promise_s,
        stopped=lambda: stopped,
        lives=lives,
    )


def test_an_empty_archive_has_no_watermark_and_knows_no_cluster() -> None:
    """Before the first entry there is nothing to claim."""

    async def scene(bench: Bench) -> tuple[object, int]:
        subject = _subject(bench)
        return await subject.watermark(), await subject.epoch(SYSTEM, 1)

    assert virtually(scene) == (None, 0)


def test_the_watermark_is_the_newest_heartbeats_position() -> None:
    """What came after it may follow a gap; the epoch table says whose it is."""

    async def scene(bench: Bench) -> tuple[int, int, int]:
        subject = _subject(bench)
        bench.tape.snapshot()
        bench.tape.heartbeat()
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


@pytest.mark.parametrize(("place", "entries"), [("live", 2), ("scratch", 0)])
def test_a_restore_in_place_waits_for_ddl_that_is_not_archived_yet(place: Place, entries: int) -> None:
    """What the database shows was done a moment ago, and the archive is to tell what it was."""

    async def scene(bench: Bench) -> int:
        subject = _subject(bench, target := MemoryTarget(), lives=lambda: True)
        target.catalogue = "not archived yet"
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.heartbeat(catalogue="archived")
        await bench.archive()
        restore = asyncio.ensure_future(subject.restore("acme", Cut(), place))
        while not restore.done():
            await bench.clock.sleep(FLUSH_S)
            bench.tape.heartbeat(catalogue="archived")
            await bench.archive()
        return len(await subject.needs()) - 2  # the first, and the one that comes as it ends

    assert virtually(scene) == entries


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


def test_while_the_bucket_is_away_the_exposure_grows() -> None:
    """What was known last is told again, older; when nothing was known there is nothing to tell."""

    async def scene(bench: Bench) -> list[object]:
        subject = _subject(bench, promise_s=30.0)
        bench.tape.snapshot()
        bench.store.down = True
        with pytest.raises(StoreUnavailable):
            await subject.watermark()
        bench.store.down = False
        await subject.watermark()
        await bench.archive()
        seen = []
        for down, wait_s in ((False, 0.0), (True, 20.0), (True, 20.0), (False, 0.0)):
            bench.store.down = down
            await bench.clock.sleep(wait_s)
            mark = await subject.watermark()
            assert mark is not None
            seen.append((mark.position.lsn, round(mark.exposure_s or 0.0), mark.state))
        return [*seen]

    told = [(1010, 2, "ok"), (1010, 22, "behind"), (1010, 42, "breached"), (1010, 42, "breached")]
    assert virtually(scene) == told


def test_a_restore_waits_once_for_an_archiver_at_work_that_brings_nothing() -> None:
    """One that has just come back gets its time; once that was in vain only the bucket is waited for."""

    async def scene(bench: Bench) -> list[float]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        subject, spent_s = _subject(bench, lives=lambda: True), []
        for down in (False, False, True):
            bench.store.down = down
            began_s = bench.clock.now_s()
            await subject.restore("acme", Cut(epoch=1, xid=9, lsn_lower=1 << 40), "scratch")
            spent_s.append(bench.clock.now_s() - began_s)
        return spent_s

    first_s, *others_s = virtually(scene)
    assert REACH_LIMIT_S < first_s < REACH_LIMIT_S + 1.0
    assert others_s == [0.0, pytest.approx(RESTORE_LIMIT_S)]


def test_a_restore_waits_for_an_archiver_that_has_just_come_back() -> None:
    """After an outage nothing has moved for long, and what was written meanwhile is on its way."""

    async def scene(bench: Bench) -> int:
        subject = _subject(bench, lives=lambda: True)
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        await subject.watermark()
        await bench.clock.sleep(300.0)
        lower = bench.tape.lsn
        damage = bench.tape.commit(insert("app.note", note_row(1, "acme")))
        bench.tape.heartbeat()
        running = asyncio.ensure_future(bench.archiver().run())
        cut = Cut(epoch=1, xid=damage, lsn_lower=lower, lsn_upper=bench.tape.lsn)
        await subject.restore("acme", cut, "scratch")
        running.cancel()
        mark = await subject.watermark()
        assert mark is not None
        return mark.position.lsn - bench.tape.lsn

    assert virtually(scene) == 0


def test_needs_are_asked_for_until_the_bucket_answers() -> None:
    """A bucket that is away for a moment is asked again, one that stays away is not waited for for ever."""

    async def scene(bench: Bench) -> int:
        bench.tape.snapshot()
        await bench.archive()
        subject = _subject(bench)
        bench.store.down = True
        asyncio.get_running_loop().call_later(1.0, setattr, bench.store, "down", False)
        named = len(await subject.needs())
        bench.store.down = True
        with pytest.raises(StoreUnavailable):
            await subject.needs()
        return named

    assert virtually(scene) == 1


def test_a_restore_in_place_reads_the_tenants_blocks_only_once() -> None:
    """Looking for rows that went to others costs no second reading of what the tenant has."""

    async def scene(bench: Bench) -> list[int]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        for number in range(1, 6):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
            await bench.archive()
        sent = [bench.store.sent_bytes]
        for place in ("scratch", "live"):
            result = await _subject(bench).restore("acme", Cut(), place)
            assert result.rows == 6
            sent.append(bench.store.sent_bytes)
        return sent

    before, beside, in_place = virtually(scene)
    assert in_place - beside == beside - before


class Shaky(MemoryTarget):
    """A target that loses its connection a few times: before anything was done, then after its COMMIT."""

    def __init__(self, *lost: Swapped | None) -> None:
        super().__init__()
        self.ddl = "there already"
        self._lost = list(lost)

    async def swap(self, swap: Swap) -> Swapped:
        """Do it, or lose the connection."""
        if self._lost:
            away = TargetUnavailable("connection lost")
            away.swapped = self._lost.pop(0)
            raise away
        return await super().swap(swap)


def test_a_restore_is_made_again_while_a_service_is_away() -> None:
    """What an unheard COMMIT had set aside is told once, whether or not it had taken effect."""
    row: RawRow = {"id": "1", "body": "set aside"}
    done = Swapped(rows=1, set_aside=(("app.note", row),), shared_added={"app.country": 1})

    async def scene(bench: Bench) -> tuple[RestoreResult, float]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        subject, began_s = _subject(bench, Shaky(None, done, done)), bench.clock.now_s()
        bench.store.down = True
        asyncio.get_running_loop().call_later(3.0, lambda: setattr(bench.store, "down", False))
        result = await subject.restore("acme", Cut(), "live")
        return result, bench.clock.now_s() - began_s

    result, took_s = virtually(scene)
    assert (result.result, result.rows) == ("restored", 1)
    assert [(one.table, one.row) for one in result.set_aside] == [("app.note", row)]
    assert result.shared_added == {"app.country": 1}
    assert 3.0 < took_s < 5.0


def test_a_restore_gives_up_when_a_service_stays_away() -> None:
    """Patience has a limit, and its end is a result."""

    async def scene(bench: Bench) -> tuple[str, str]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        bench.store.down = True
        result = await _subject(bench).restore("acme", Cut(), "live")
        return result.result, result.detail

    assert virtually(scene) == ("failed", "not done within 60 s")


class InTheWay(MemoryTarget):
    """A target that refuses for so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.ddl, self.times = "CREATE TABLE ...", times

    async def swap(self, swap: Swap) -> Swapped:
        """Refuse, or note the swap."""
        self.times -= 1
        if self.times >= 0:
            raise RestoreRefused("a row is in the way")
        return await super().swap(swap)


class Dangling(MemoryTarget):
    """A target in which the second note would refer to a row that is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.ddl = "CREATE TABLE ..."

    async def swap(self, swap: Swap) -> Swapped:
        """Refuse it, or note the swap."""
        if note_row(2, "acme") in swap.rows["app.note"]:
            raise NotWhole("a row is missing")
        return await super().swap(swap)


def _after_the_watermark(cut: Cut, *, beat_last: bool = False) -> RestoreResult:
    """Restore an archive that holds a note before its newest heartbeat, and a dangling one after it."""

    async def scene(bench: Bench) -> RestoreResult:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        bench.tape.heartbeat(1)
        bench.tape.commit(insert("app.note", note_row(2, "acme")))
        if beat_last:
            bench.tape.heartbeat(2)
        await bench.archive()
        return await _subject(bench, Dangling()).restore("acme", cut, "live")

    return virtually(scene)


def test_an_end_that_is_not_whole_is_brought_back_to_the_watermark_and_says_so() -> None:
    """The capture left something out that nobody has noticed yet: what was promised is there (FM-50)."""
    result = _after_the_watermark(Cut())
    assert (result.result, result.rows) == ("restored", 2)
    assert result.detail.startswith("brought back to the watermark 1:0/")
    assert result.detail.endswith("behind which the archive is not whole: a row is missing")


@pytest.mark.parametrize(
    ("cut", "beat_last"), [(Cut(epoch=1, xid=99_999), False), (Cut(), True)], ids=["a cut", "the watermark"]
)
def test_what_was_asked_for_or_promised_and_is_not_whole_is_refused(cut: Cut, beat_last: bool) -> None:
    """Nobody who named a cut gets another one; and before the watermark nothing may be missing."""
    result = _after_the_watermark(cut, beat_last=beat_last)
    assert (result.result, result.detail) == ("refused", "a row is missing")


async def _comes_late(bench: Bench, target: MemoryTarget, *, after_s: float) -> tuple[list[str], float]:
    """Restore to a cut that the archive reaches after so long; return the answers of two, and how long."""
    bench.tape.snapshot(("app.tenant", tenant_row("acme")))
    await bench.archive()
    cut = Cut(epoch=1, xid=701, lsn_lower=bench.tape.lsn, lsn_upper=bench.tape.lsn + 10)
    subject, began_s = _subject(bench, target), bench.clock.now_s()

    async def late() -> None:
        await bench.clock.sleep(after_s)
        bench.tape.commit(insert("app.note", note_row(1, "acme")))
        await bench.archive()

    task = asyncio.ensure_future(late())
    results = [(await subject.restore("acme", cut, "live")).result for _ in range(2)]
    took_s = bench.clock.now_s() - began_s
    await task
    return list(results), took_s


def test_a_refusal_while_the_archive_is_behind_the_cut_is_looked_at_again() -> None:
    """What is in the way may be the tenant's own, moved by what is not archived yet (FM-41)."""
    results, took_s = virtually(lambda bench: _comes_late(bench, InTheWay(1), after_s=6.0))
    assert results == ["restored", "restored"]
    assert 6.0 <= took_s < 8.0


def test_an_archive_that_does_not_come_is_awaited_once() -> None:
    """Then a refusal is a refusal, and the next one is said at once."""
    results, took_s = virtually(lambda bench: _comes_late(bench, InTheWay(9), after_s=99.0))
    assert results == ["refused", "refused"]
    assert took_s < LATE_LIMIT_S + 5.0


def test_a_refusal_of_an_archive_that_is_there_is_said_at_once() -> None:
    """Nothing more can come that would take the row out of the way."""

    async def scene(bench: Bench) -> tuple[str, float]:
        bench.tape.snapshot(("app.tenant", tenant_row("acme")))
        await bench.archive()
        result = await _subject(bench, InTheWay(9)).restore("acme", Cut(), "live")
        return result.result, bench.clock.now_s()

    assert virtually(scene) == ("refused", 0.0)
