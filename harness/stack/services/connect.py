"""Kafka Connect with the Debezium Postgres connector: the worker, and the connector's configuration.

The connector snapshots once, then streams from a slot (a failover slot where Postgres has those), all
tables into one topic in commit order, values as text where a number or a clock could bend them (FM-63,
FM-65). Exactly-once stays off: it stalled workers, and duplicates are folded by the archiver anyway.
"""

from __future__ import annotations

import httpx

from harness.stack import rest
from harness.stack.identity import DATABASE, DEBEZIUM, Identity
from harness.stack.service import Command, Fact, ServiceSpec, Site
from harness.stack.services.java import JVM_FILES, jvm_options
from harness.stack.services.kafka import RECORD_BYTES_MAX
from harness.stack.services.postgres import NUDGE_PREFIX, has_failover_slots
from harness.stack.wait import NotYet

NOT_THERE = (httpx.HTTPError,)

_WORKER = """\
bootstrap.servers={kafka}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter.schemas.enable=false
key.converter.replace.null.with.default=false
value.converter.replace.null.with.default=false
listeners=http://{listen}
rest.advertised.host.name={advertised_host}
rest.advertised.port={advertised_port}
offset.flush.interval.ms=250
offset.flush.timeout.ms=3000
plugin.path={plugins}
plugin.discovery=service_load
connector.client.config.override.policy=All
producer.acks=all
producer.enable.idempotence=true
producer.max.in.flight.requests.per.connection=1
producer.linger.ms=20
producer.request.timeout.ms=3000
producer.delivery.timeout.ms=2147483647
producer.reconnect.backoff.ms=50
producer.reconnect.backoff.max.ms=200
producer.max.request.size={record_bytes_max}
reconnect.backoff.ms=50
reconnect.backoff.max.ms=200
group.id=connect
config.storage.topic=connect_configs
offset.storage.topic=connect_offsets
status.storage.topic=connect_status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
session.timeout.ms=1500
heartbeat.interval.ms=300
rebalance.timeout.ms=5000
scheduled.rebalance.max.delay.ms=0
worker.sync.timeout.ms=1000
worker.unsync.backoff.ms=500
"""


def connect(site: Site) -> ServiceSpec:
    """Describe the Connect worker: ready when it has joined its group and read its topics."""
    return ServiceSpec(
        name="connect",
        run=Command(
            program="connect",
            arguments=(
                *jvm_options(site, "connect", heap_mb=384),
                "org.apache.kafka.connect.cli.ConnectDistributed",
                site.file("connect", "connect.properties"),
            ),
        ),
        ready=Fact(
            words="the Connect worker says it is healthy",
            probe=lambda: _expect_healthy(site.outside("connect").url),
            poll_s=0.1,
            transient=NOT_THERE,
        ),
        ports=("connect",),
        files={"connect.properties": _settings(site), **JVM_FILES},
    )


def connector_config(site: Site, identity: Identity) -> dict[str, str]:
    """Return the configuration of the Debezium connector."""
    primary = site.inside("connect-primary")
    return {
        **_SOURCE,
        **_CONVERTERS,
        "database.hostname": primary.host,
        "database.port": str(primary.port),
        "database.user": DEBEZIUM,
        "database.dbname": DATABASE,
        "slot.name": identity.slot,
        "slot.failover": "true" if has_failover_slots(site) else "false",
        "publication.name": identity.publication,
        "message.prefix.exclude.list": NUDGE_PREFIX.replace(".", "\\."),
        "unavailable.value.placeholder": identity.placeholder,
        "transforms": "one",
        "transforms.one.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.one.regex": ".*",
        "transforms.one.replacement": identity.topic,
    }


_SOURCE = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "tasks.max": "1",
    "topic.prefix": "cdc",
    "plugin.name": "pgoutput",
    "slot.drop.on.stop": "false",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "initial",
    "snapshot.max.threads": "1",
    "provide.transaction.metadata": "true",
    "decimal.handling.mode": "string",
    "interval.handling.mode": "string",
    "time.precision.mode": "isostring",
    "binary.handling.mode": "bytes",
    "include.unknown.datatypes": "true",
    "converters": "gone",
    "gone.type": "restoreproof.GoneTypes",
    "offset.mismatch.strategy": "trust_offset",
    "lsn.flush.mode": "connector",
    "skipped.operations": "none",
    "tombstones.on.delete": "false",
    "errors.tolerance": "none",
    "event.processing.failure.handling.mode": "fail",
    "heartbeat.interval.ms": "250",
    "poll.interval.ms": "20",
    "status.update.interval.ms": "500",
    "errors.max.retries": "-1",
    "retriable.restart.connector.wait.ms": "300",
    "slot.max.retries": "60",
    "slot.retry.delay.ms": "300",
    "driver.socketTimeout": "10",
    "driver.connectTimeout": "3",
}

_CONVERTERS = {
    f"{part}.converter{key}": value
    for part in ("key", "value")
    for key, value in {
        "": "org.apache.kafka.connect.json.JsonConverter",
        ".schemas.enable": "false",
        ".replace.null.with.default": "false",
    }.items()
}


def _settings(site: Site) -> str:
    advertised = site.inside("connect")
    return _WORKER.format(
        kafka=site.inside("connect-kafka"),
        listen=site.listen("connect"),
        advertised_host=advertised.host,
        advertised_port=advertised.port,
        plugins=site.data("connect"),
        record_bytes_max=RECORD_BYTES_MAX,
    )


def _expect_healthy(url: str) -> None:
    answer = rest.get(f"{url}/health", timeout_s=2.0)
    if answer.status_code != httpx.codes.OK:
        raise NotYet(f"{answer.status_code} {answer.text[:200]}")
