"""The configuration of archiver and restorer: one JSON or TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from harness.model.errors import BadInput
from harness.subject.reference import unavailable
from harness.subject.reference.capture import PUBLICATION
from harness.subject.reference.fencing import WRITER
from harness.subject.reference.health import PROMISE_S

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class ArchiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that ``archive`` and ``restore`` commands need to know.

    ``schema``: a schema's name, or its folder. ``dsn``: the captured database as the archiver reaches it
    (heartbeat, schema dump; a role with ``synchronous_commit=local``). ``restorer_dsn``: the same as the
    restorer reaches it, as superuser; ``scratch_dsn``: a database to restore beside. ``s3_endpoint`` and
    ``s3_restorer_endpoint`` are URLs. ``keys_path`` outlives bucket and database; ``index_path`` and
    ``state_path`` lie on the archiver's disk and may be lost. ``pg_dump``: the program, of the server's
    version or a later one. ``signing_key_path``: the file, beside the keys, with which the archiver signs
    manifest entries; ``verify_key``: its public half (``archive key`` prints it), without which signatures
    are not checked; ``unsigned_until``: the last entry from before the archive was signed, if there is any.
    ``writer``: the archiver's name; one of another name must be told to take over (see ``fencing``).
    ``promise_s``: an exposure beyond it is a breach. ``metrics_port``: of the archiver's OpenMetrics
    endpoint on 127.0.0.1, 0 for none. ``publication``: what the lint looks at. ``connect_url``: of the
    Connect worker, with ``connector`` and its ``slot``: for ``archive resnapshot``.
    """

    schema: str
    dsn: str
    restorer_dsn: str
    scratch_dsn: str = ""
    kafka_bootstrap: str
    topic: str
    kafka_group: str = "restoreproof-archiver"
    s3_endpoint: str
    s3_restorer_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    keys_path: str
    index_path: str
    state_path: str
    placeholder: str
    pg_dump: str
    flush_interval_s: Seconds = 1.0
    retention_s: Seconds = 3600.0
    promise_s: Seconds = PROMISE_S
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    publication: str = PUBLICATION
    connect_url: str = ""
    connector: str = "restoreproof"
    slot: str = "restoreproof"
    signing_key_path: str = ""
    verify_key: str = ""
    unsigned_until: Annotated[int, msgspec.Meta(ge=0)] = 0
    writer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = WRITER


def read_config(path: str | Path) -> ArchiveConfig:
    """Read a configuration; raises BadInput naming file and field."""
    file = Path(path)
    try:
        data = file.read_bytes()
        decode = msgspec.toml.decode if file.suffix == ".toml" else msgspec.json.decode
        config = decode(data, type=ArchiveConfig)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(
            f"{file}: {error}", cure="`restoreproof up` prints the path of one that works"
        ) from None
    if config.placeholder == unavailable.DEFAULT:
        raise BadInput(
            f"{file}: placeholder is Debezium's own, which an application may have written (FM-38)",
            cure="give the connector a random unavailable.value.placeholder, and say it here",
        )
    return config


def encode_config(config: ArchiveConfig) -> str:
    """Return the configuration as JSON."""
    return msgspec.json.format(msgspec.json.encode(config), indent=1).decode()
