"""Keys, owner index and configuration: the files that archiver and restorer keep and read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.model.errors import ArchiveBroken, BadInput
from harness.simulate.loop import run
from harness.subject.reference.adapters.local_files import SqliteIndex, SqliteKeys
from harness.subject.reference.adapters.wiring import stopped_reason, write_state
from harness.subject.reference.config import ArchiveConfig, encode_config, read_config
from harness.subject.reference.ports import Checkpoint, Pinned, StoredObject

CHECKPOINT = Checkpoint(
    last=Pinned(stored=StoredObject(key="manifest/7", version="v7", size_bytes=9), sha256="00ff"),
    segments=5,
)
AT = ("app.note", ("id",), ("1",))


def _config(folder: Path) -> ArchiveConfig:
    return ArchiveConfig(
        schema="helpdesk",
        dsn="postgresql://archiver@db/app",
        restorer_dsn="postgresql://restorer@db/app",
        kafka_bootstrap="kafka:9092",
        topic="restoreproof",
        s3_endpoint="http://s3:9000",
        s3_restorer_endpoint="http://s3:9000",
        s3_access_key="key",
        s3_secret_key="secret",
        bucket="archive",
        keys_path=str(folder / "keys"),
        index_path=str(folder / "index"),
        state_path=str(folder / "state" / "file"),
        placeholder="__unavailable__",
        pg_dump="pg_dump",
    )


def test_a_tenants_key_is_the_same_for_whoever_opens_the_store(tmp_path: Path) -> None:
    """It is on disk before it is handed out the first time."""
    first = run(SqliteKeys(tmp_path / "keys").current("acme"))
    second = SqliteKeys(tmp_path / "keys")
    assert run(second.current("acme")) == first
    assert run(second.get(first.id)) == first
    assert len(first.secret) == 32


def test_each_tenant_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Destroying one tenant's key must leave the others'."""
    keys = SqliteKeys(tmp_path / "keys")
    made = [run(keys.current(tenant)) for tenant in ("acme", "globex")]
    assert len({key.secret for key in made}) == len({key.id for key in made}) == 2


def test_a_key_that_is_gone_is_named(tmp_path: Path) -> None:
    """What was sealed with it is lost, and that is said."""
    with pytest.raises(ArchiveBroken, match="key 00ff is not in the key store"):
        run(SqliteKeys(tmp_path / "keys").get("00ff"))


def test_the_index_keeps_what_was_flushed(tmp_path: Path) -> None:
    """And forgets with the process what was not."""
    index = SqliteIndex(tmp_path / "deep" / "index")
    assert index.checkpoint is None
    index.put(*AT, "acme")
    assert index.get(*AT) == "acme"
    index.flush(CHECKPOINT)
    index.put("app.note", ("id",), ("2",), "globex")
    index.close()
    again = SqliteIndex(tmp_path / "deep" / "index")
    assert (again.get(*AT), again.checkpoint) == ("acme", CHECKPOINT)
    assert again.get("app.note", ("id",), ("2",)) is None
    again.close()


def test_the_index_tells_columns_and_cells_apart(tmp_path: Path) -> None:
    """A key of two columns is not one with their texts run together."""
    index = SqliteIndex(tmp_path / "index")
    index.put("app.note", ("a", "b"), ("1", "23"), "acme")
    index.flush(CHECKPOINT)
    assert index.get("app.note", ("a", "b"), ("12", "3")) is None
    index.put("app.note", ("a", "b"), ("1", "23"), "globex")
    assert index.get("app.note", ("a", "b"), ("1", "23")) == "globex"
    index.close()


def test_a_configuration_reads_back(tmp_path: Path) -> None:
    """As JSON, and as TOML by its suffix."""
    config = _config(tmp_path)
    (tmp_path / "a.json").write_text(encode_config(config))
    fields = msgspec.to_builtins(config)
    toml = "\n".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in fields.items())
    (tmp_path / "a.toml").write_text(toml)
    assert read_config(tmp_path / "a.json") == read_config(tmp_path / "a.toml") == config


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"flush_interval_s": -1}, "flush_interval_s"),
        ({"bucket": None}, "bucket"),
        ({"bukket": "x"}, "bukket"),
        ({"placeholder": "__debezium_unavailable_value"}, "random unavailable.value.placeholder"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    """Naming the file and the field."""
    fields = {**msgspec.to_builtins(_config(tmp_path)), **change}
    file = tmp_path / "archiver.json"
    file.write_bytes(msgspec.json.encode(fields))
    with pytest.raises(BadInput, match=reason) as bad:
        read_config(file)
    assert str(file) in bad.value.message


def test_a_missing_configuration_is_one_clear_error(tmp_path: Path) -> None:
    """With where to get one."""
    with pytest.raises(BadInput, match="No such file"):
        read_config(tmp_path / "none.json")


def test_the_reason_of_a_stop_is_left_behind(tmp_path: Path) -> None:
    """Whoever watches can tell a stopped archiver from a slow one."""
    config = _config(tmp_path)
    assert stopped_reason(config) is None
    write_state(config, reason="a DDL")
    assert stopped_reason(config) == "a DDL"
    write_state(config, reason=None)
    assert stopped_reason(config) is None
