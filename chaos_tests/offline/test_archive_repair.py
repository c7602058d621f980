"""`archive resnapshot` refuses what it must not do, before it touches anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from harness.model.errors import BadInput
from harness.subject.reference import process
from harness.subject.reference.adapters import wiring
from harness.subject.reference.config import ArchiveConfig, encode_config

CONFIG = ArchiveConfig(
    schema="shop",
    dsn="postgresql://127.0.0.1:9/app",
    restorer_dsn="postgresql://127.0.0.1:9/app",
    kafka_bootstrap="127.0.0.1:9",
    topic="t",
    s3_endpoint="http://127.0.0.1:9",
    s3_restorer_endpoint="http://127.0.0.1:9",
    s3_access_key="a",
    s3_secret_key="s",
    bucket="b",
    keys_path="keys",
    index_path="index",
    state_path="state",
    placeholder="p",
    pg_dump="pg_dump",
)


def _config(folder: Path, **changes: str) -> tuple[Path, ArchiveConfig]:
    config = msgspec.structs.replace(CONFIG, state_path=str(folder / "state.json"), **changes)
    file = folder / "config.json"
    file.write_text(encode_config(config))
    return file, config


def test_a_running_archiver_is_not_passed_over(tmp_path: Path) -> None:
    """Its place in the feed is its own as long as it is at work."""
    file, config = _config(tmp_path, connect_url="http://127.0.0.1:9")
    wiring.write_state(config, reason=None)
    with pytest.raises(BadInput, match="is running"):
        process.resnapshot(file)


def test_an_archiver_that_stopped_or_is_gone_is_not_running(tmp_path: Path) -> None:
    """It said why, or its process is no more, or its word is old."""
    _, config = _config(tmp_path)
    assert not wiring.is_running(config)
    wiring.write_state(config, reason="it found a gap")
    assert not wiring.is_running(config)
    for left_s, pid in ((time.time() - 60.0, os.getpid()), (time.time(), 2**22 + 1)):
        word = msgspec.json.encode(wiring.LastWord(pid=pid))
        Path(config.state_path).write_bytes(word)
        os.utime(config.state_path, (left_s, left_s))
        assert not wiring.is_running(config)


def test_an_archiver_whose_clock_is_off_is_running_all_the_same(tmp_path: Path) -> None:
    """What counts is when its word was written by the filesystem's clock."""
    _, config = _config(tmp_path)
    word = msgspec.json.encode(wiring.LastWord(pid=os.getpid(), at_s=time.time() - 600.0))
    Path(config.state_path).parent.mkdir(parents=True, exist_ok=True)
    Path(config.state_path).write_bytes(word)
    assert wiring.is_running(config)


def test_without_a_connect_worker_there_is_no_snapshot_to_ask_for(tmp_path: Path) -> None:
    """The cure says what to add."""
    file, _ = _config(tmp_path)
    with pytest.raises(BadInput, match="names no connect_url") as refused:
        process.resnapshot(file)
    assert "Connect worker" in refused.value.cure
