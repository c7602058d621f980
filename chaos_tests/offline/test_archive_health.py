"""What the archive says of itself: what would be lost now, where heartbeats got stuck, and at once."""

from __future__ import annotations

import asyncio
import http.client
import os
import time
from pathlib import Path

import msgspec
import pytest

from fixtures.archive import Bench, insert, note_row, virtually
from harness.model.errors import LintRefused
from harness.simulate.archive_ports import MemorySource
from harness.subject.reference import process
from harness.subject.reference.adapters import wiring
from harness.subject.reference.adapters.metrics import metrics_endpoint
from harness.subject.reference.adapters.wiring import LastWord, is_at_work
from harness.subject.reference.archiver import Archiver
from harness.subject.reference.config import ArchiveConfig, encode_config
from harness.subject.reference.health import (
    Beaten,
    Health,
    Held,
    Pulse,
    Trail,
    age_s,
    exposed_s,
    open_metrics,
    state_of,
)
from harness.subject.reference.rules import Problem

OK = Health(state="ok", pipeline="working", exposure_s=1.25, slot_lag_bytes=4096, watermark="1:17/0")
HELD = Held(entries=7, segments=5, refused=1)


def _pulse() -> Pulse:
    pulse = Pulse(interval_s=1.0, promise_s=10.0)
    pulse.start(0.0, None)
    return pulse


def test_exposure_is_the_age_of_the_newest_durable_heartbeat() -> None:
    """Not of the newest entry: one that comes late proves nothing about later writes."""
    pulse = _pulse()
    for beat in range(8):
        pulse.wrote(Beaten(beat=beat, slot_lag_bytes=beat), float(beat))
    pulse.durable(3, idle=False)
    found = pulse.health(7.5)
    assert (found.exposure_s, found.slot_lag_bytes) == (4.5, 7)
    assert found.state == "ok"


@pytest.mark.parametrize(
    ("exposure_s", "state"),
    [(None, "behind"), (5.0, "ok"), (5.1, "behind"), (10.0, "behind"), (10.1, "breached")],
)
def test_an_exposure_amounts_to_a_state(exposure_s: float | None, state: str) -> None:
    """Behind from five intervals on, breached beyond the promise; the unknown is never well."""
    assert state_of(exposure_s, interval_s=1.0, promise_s=10.0) == state


def test_idle_not_written_and_not_arrived_differ() -> None:
    """All three look alike to who only sees that nothing new is archived (FM-71)."""
    pulse = _pulse()
    pulse.wrote(Beaten(beat=1), 1.0)
    pulse.durable(1, idle=False)
    assert pulse.health(1.5).pipeline == "working"
    pulse.wrote(Beaten(beat=2), 2.0)
    pulse.durable(2, idle=True)
    assert pulse.health(2.5).pipeline == "idle"
    for beat in range(3, 9):
        pulse.wrote(Beaten(beat=beat), float(beat))
    assert pulse.health(8.5).pipeline == "heartbeat not arrived"
    assert pulse.health(20.0).pipeline == "heartbeat not written"


def test_a_restart_after_a_long_absence_does_not_begin_at_zero() -> None:
    """What was committed while the archiver was away is exposed, whenever it was started."""
    pulse = Pulse(interval_s=1.0)
    pulse.start(100.0, "2026-01-01T00:00:00Z")
    assert pulse.health(100.0).exposure_s is None
    pulse.wrote(Beaten(beat=9, at="2026-01-01T00:06:40Z"), 101.0)
    assert pulse.health(101.0).exposure_s == 400.0
    assert pulse.health(101.0).state == "breached"
    pulse.durable(9, idle=False)
    assert pulse.health(101.5).exposure_s == 0.5


def test_a_time_that_cant_be_read_is_unknown() -> None:
    """And not young."""
    assert age_s("", "2026-01-01T00:00:00Z") is None
    assert age_s("2026-01-01T00:00:00", "2026-01-01T00:00:00Z") is None
    assert age_s("2026-01-01 00:00:00+00", "2026-01-01T00:00:09Z") == 9.0


async def _running(bench: Bench) -> tuple[Archiver, asyncio.Task[None]]:
    """Start an archiver whose heartbeats come through the feed."""

    def beat() -> None:
        bench.tape.heartbeat(bench.source.beats)

    bench.source = MemorySource("CREATE TABLE ...", on_beat=beat)
    bench.tape.snapshot()
    archiver = bench.archiver()
    task = asyncio.ensure_future(archiver.run())
    await bench.clock.sleep(4.0)
    return archiver, task


def test_a_running_archiver_knows_how_it_is() -> None:
    """Idle, at work, cut off from the bucket for longer than promised, healed, without its database."""

    async def scene(bench: Bench) -> list[tuple[str, str]]:
        archiver, task = await _running(bench)
        seen = [archiver.health()]
        for number in range(6):
            bench.tape.commit(insert("app.note", note_row(number, "acme")))
            await bench.clock.sleep(0.3)
        seen.append(archiver.health())
        bench.store.down = True
        await bench.clock.sleep(290.0)
        seen.append(archiver.health())
        await bench.clock.sleep(15.0)
        seen.append(archiver.health())
        bench.store.down = False
        await bench.clock.sleep(4.0)
        seen.append(archiver.health())
        bench.source.down = True
        await bench.clock.sleep(20.0)
        seen.append(archiver.health())
        assert not task.done()
        task.cancel()
        return [(found.state, found.pipeline) for found in seen]

    assert virtually(scene) == [
        ("ok", "idle"),
        ("ok", "working"),
        ("behind", "heartbeat not arrived"),
        ("breached", "heartbeat not arrived"),
        ("ok", "idle"),
        ("behind", "heartbeat not written"),
    ]


def _config(folder: Path) -> ArchiveConfig:
    """A configuration of which nothing can be reached but the archiver's own disk."""
    nowhere = "http://127.0.0.1:9"
    return ArchiveConfig(
        schema="helpdesk",
        dsn="postgresql://nobody@127.0.0.1:9/none",
        restorer_dsn="",
        kafka_bootstrap="127.0.0.1:9",
        topic="t",
        s3_endpoint=nowhere,
        s3_restorer_endpoint=nowhere,
        s3_access_key="key",
        s3_secret_key="secret",
        bucket="archive",
        keys_path=str(folder / "keys"),
        index_path=str(folder / "index"),
        state_path=str(folder / "state.json"),
        placeholder="",
        pg_dump="pg_dump",
    )


def _status_after(folder: Path, word: LastWord | None) -> process.Status:
    (folder / "archiver.json").write_text(encode_config(_config(folder)))
    if word is not None:
        (folder / "state.json").write_bytes(msgspec.json.encode(word))
        os.utime(folder / "state.json", (word.left_s, word.left_s))
    return process.status(folder / "archiver.json")


def test_a_status_without_bucket_and_database_goes_on_from_the_archivers_last_word(tmp_path: Path) -> None:
    """What it knew ages on; nothing that could not be looked at is called well."""
    health = msgspec.structs.replace(OK, exposure_s=290.0, state="behind")
    found = _status_after(tmp_path, LastWord(health=health, left_s=time.time() - 20, pid=1))
    assert found.state == "breached"
    assert found.exposure_s == pytest.approx(310, abs=5)
    assert found.pipeline == "heartbeat not written"
    assert found.watermark == OK.watermark
    assert found.archive is not None
    assert found.slot_lag_bytes is None


def test_a_status_tells_a_stopped_archiver_and_its_reason(tmp_path: Path) -> None:
    """Stopped is said with the reason, whatever else is known."""
    found = _status_after(tmp_path, LastWord(stopped="a DDL", left_s=time.time()))
    assert (found.state, found.stopped) == ("stopped", "a DDL")


def test_a_status_of_what_was_never_started_is_not_ok(tmp_path: Path) -> None:
    """Unknown exposure is behind."""
    found = _status_after(tmp_path, None)
    assert (found.state, found.exposure_s, found.watermark) == ("behind", None, None)


def test_what_cant_be_carried_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever asks for the status later learns why nothing is archived."""
    problem = Problem(table="app.note", what="its replica identity isn't FULL", cure_sql="ALTER TABLE ...")
    monkeypatch.setattr(wiring, "lint", lambda *_, **__: [problem])
    file = tmp_path / "archiver.json"
    file.write_text(encode_config(_config(tmp_path)))
    with pytest.raises(LintRefused, match="isn't FULL"):
        process.run(file)
    found = process.status(file)
    assert found.state == "stopped"
    assert "isn't FULL" in (found.stopped or "")


def test_a_database_that_is_away_does_not_hinder_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in the feed can be archived without it; that nobody could look is said."""
    wiring.refuse_what_cant_be_carried(_config(tmp_path))
    assert "not looked at before the start" in caplog.text


def test_metrics_are_open_metrics_text() -> None:
    """One TYPE line a family, one sample a line, EOF at the end; the unknown is left out."""
    lines = open_metrics(OK, HELD).splitlines()
    assert lines[-1] == "# EOF"
    assert "# TYPE restoreproof_archive_exposure_seconds gauge" in lines
    assert "restoreproof_archive_exposure_seconds 1.25" in lines
    assert "restoreproof_archive_slot_lag_bytes 4096" in lines
    assert 'restoreproof_archive_state{state="ok"} 1' in lines
    assert 'restoreproof_archive_state{state="breached"} 0' in lines
    assert "restoreproof_archive_watermark_lsn_bytes 98784247808" in lines
    assert "restoreproof_archive_segments 5" in lines
    assert "restoreproof_archive_refused_objects 1" in lines
    assert len([line for line in lines if line.startswith("# TYPE")]) == 9
    unknown = open_metrics(msgspec.structs.replace(OK, exposure_s=None, watermark=None), Held())
    assert "exposure_seconds" not in unknown
    assert "watermark" not in unknown


def test_the_endpoint_answers_metrics_and_nothing_else() -> None:
    """On loopback, with the content type that scrapers ask for."""
    with metrics_endpoint(0, lambda: open_metrics(OK, HELD)) as port:
        found = [_get(port, path) for path in ("/metrics", "/")]
    assert found == [(200, open_metrics(OK, HELD)), (404, "")]


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert "openmetrics-text" in (answer.getheader("Content-Type") or "")
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("second", "late_s"),
    [
        ("2026-01-01 00:00:02+00", 98.0),
        ("2026-01-01 00:01:40+00", 0.0),
        ("2026-01-01 00:00:00+00", 100.0),
        ("2025-12-31 23:00:00+00", 0.0),
        ("2026-01-01 01:00:00+00", 0.0),
        ("later", 0.0),
        (None, 0.0),
    ],
)
def test_an_archive_that_catches_up_is_still_late(second: str | None, late_s: float) -> None:
    """An entry brings it as far as its heartbeat is younger; a clock that went back tells nothing."""
    trail = Trail()
    assert trail.exposure_s(0.0, interval_s=1.0) is None
    trail.moved(0.0, "2026-01-01 00:00:00+00")
    trail.moved(100.0, second)
    assert trail.exposure_s(101.0, interval_s=1.0) == pytest.approx(late_s + 1.0 + 2.0)


@pytest.mark.parametrize(
    ("age_s", "stopped", "works"), [(0.0, None, True), (0.0, "a DDL", False), (9.0, None, False)]
)
def test_who_left_word_just_now_is_at_work(age_s: float, stopped: str | None, works: bool) -> None:
    """Old word is of an archiver that is gone, or stands still; a reason is of one that stopped."""
    assert is_at_work(LastWord(left_s=time.time() - age_s, stopped=stopped)) is works


@pytest.mark.parametrize(
    ("by_beat_s", "at_work", "exposed"),
    [(None, False, 90.0), (0.0, True, 90.0), (95.0, True, 95.0), (4.0, False, 4.0)],
)
def test_a_database_whose_clock_went_back_hides_no_exposure(
    by_beat_s: float | None, at_work: bool, exposed: float
) -> None:
    """The archiver's own clock is monotonic; but one that is gone may have a successor."""
    assert exposed_s(by_beat_s, 90.0, at_work=at_work) == exposed


def test_who_never_left_word_is_not_at_work() -> None:
    """Its disk may be gone."""
    assert is_at_work(None) is False
