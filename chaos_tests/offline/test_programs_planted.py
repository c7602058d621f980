"""Programs that lose data are fetched only when asked for, and take the place of the right ones alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import BadInput, UnknownName
from harness.stack.programs import cache, compiled, mended, parts, setup
from harness.stack.programs.located import Programs
from harness.stack.programs.planted import PLANTED, planted
from harness.stack.programs.progress import Silent


def programs(tmp_path: Path) -> Programs:
    """Programs of which nothing is there but their names."""
    jars = tuple(tmp_path / name for name in (mended.JAR, compiled.JAR, "kafka.jar", "dbz.jar"))
    return Programs(
        postgres_bin=tmp_path, java=tmp_path / "java", broker_jars=jars[2:3], connect_jars=jars,
        minio=tmp_path, toxiproxy=tmp_path, faketime=tmp_path,
        aot_dir=tmp_path / "aot-1", versions={"debezium": "mended"},
    )  # fmt: skip


def test_a_losing_debezium_takes_the_place_of_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jars come after Kafka's, with our converters and no mended class; the evidence says which."""
    brought = []
    monkeypatch.setattr(cache, "root", lambda: tmp_path)
    monkeypatch.setattr(setup, "bring", lambda among, _: brought.extend(among))
    folder = parts.losing().folder
    folder.mkdir()
    (folder / "old.jar").touch()
    found = planted("debezium-3.6.1", programs(tmp_path), Silent(), host="local")
    assert [part.version for part in brought] == ["3.6.1.Final"]
    assert [jar.name for jar in found.connect_jars] == [compiled.JAR, "kafka.jar", "old.jar"]
    assert found.versions == {"debezium": "3.6.1.Final"}
    assert found.aot_dir.name == "aot-1-3.6.1.Final"


def test_the_published_debezium_lacks_the_mended_class(tmp_path: Path) -> None:
    """Nothing is fetched for it."""
    found = planted("debezium-published", programs(tmp_path), Silent(), host="local")
    assert [jar.name for jar in found.connect_jars] == [compiled.JAR, "kafka.jar", "dbz.jar"]
    assert found.versions == {"debezium": "3.7.0.Final"}


def test_what_can_not_be_planted_is_refused_by_name(tmp_path: Path) -> None:
    """An unknown word, and a host whose programs lie in images."""
    with pytest.raises(UnknownName, match="nonsense") as unknown:
        planted("nonsense", programs(tmp_path), Silent(), host="local")
    assert sorted(PLANTED) == sorted(unknown.value.known)
    with pytest.raises(BadInput, match="can't be planted on host containers"):
        planted("debezium-3.6.1", programs(tmp_path), Silent(), host="containers")


def test_setup_fetches_nothing_that_loses_data() -> None:
    """It is nobody's program but a drill's that asks for it."""
    assert "losing-debezium" not in {part.name for part in parts.pinned()}
