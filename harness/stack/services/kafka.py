"""The Kafka broker: one node in KRaft mode, one ordered topic, records up to 32 MiB.

Each role has a listener of its own, advertised at its own proxy, so that cutting one link cuts nothing
else and no client goes around; the controller's is the broker's own affair and never leaves loopback. The
broker's storage is formatted by Kafka's own tool: a hand-written
``meta.properties`` alone starts without an error, but with old transaction and group protocols.
"""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from harness.stack.identity import new_cluster_id
from harness.stack.portblock import LOOPBACK
from harness.stack.service import Address, Command, Fact, ServiceSpec, Site, Template
from harness.stack.services.java import JVM_FILES, jvm_options
from harness.stack.wait import NotYet

RECORD_BYTES_MAX = 33554432
ANSWER_S_MAX = 2.0
TOPIC_S_MAX = 15.0
NOT_THERE = (KafkaException,)

_TEMPLATE_CLUSTER = "restoreproof-template0"
"""Stands in formatted storage until a stack puts its own cluster id in place; 22 characters, as any."""

_SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{control}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listeners=CONTROLLER://{control},INTERNAL://{internal},CONNECT://{connect},ARCHIVER://{archiver}
advertised.listeners=CONTROLLER://{control},INTERNAL://{internal_seen},\
CONNECT://{connect_seen},ARCHIVER://{archiver_seen}
listener.security.protocol.map=\
CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,CONNECT:PLAINTEXT,ARCHIVER:PLAINTEXT
log.dirs={data}/log
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
group.consumer.min.session.timeout.ms=500
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
log.segment.bytes=67108864
unclean.leader.election.enable=false
message.max.bytes={record_bytes_max}
replica.fetch.max.bytes={record_bytes_max}
"""

_TOPIC = {
    "cleanup.policy": "delete",  # compaction would collapse history (FM-77)
    "retention.ms": "-1",  # nothing leaves before it is archived (FM-76)
    "max.message.bytes": str(RECORD_BYTES_MAX),
}


def kafka(site: Site) -> ServiceSpec:
    """Describe the broker: ready when it names itself in the cluster's metadata."""
    return ServiceSpec(
        name="kafka",
        run=Command(
            program="broker",
            arguments=(
                *jvm_options(site, "kafka", heap_mb=256),
                *("kafka.Kafka", site.file("kafka", "server.properties")),
            ),
        ),
        ready=Fact(
            words="the broker answers and names itself",
            probe=lambda: _expect_broker(site.outside("kafka-internal")),
            transient=NOT_THERE,
        ),
        ports=("kafka-control", "kafka-internal", "kafka-connect", "kafka-archiver"),
        files={"server.properties": _settings(site), **JVM_FILES},
        prepare=(_format(site),),
    )


def create_topic(broker: Address, topic: str) -> None:
    """Create the one topic of a stack: one partition, so that it keeps commit order (FM-78)."""
    new = NewTopic(topic, num_partitions=1, replication_factor=1, config=_TOPIC)
    admin = _admin(broker)  # held until the answer is here: it would be cancelled otherwise
    created = admin.create_topics([new], operation_timeout=TOPIC_S_MAX)
    created[topic].result(timeout=TOPIC_S_MAX)


def _format(site: Site) -> Template:
    config = site.file("kafka", "server.properties")
    tool = ("kafka.tools.StorageTool", "format", "-t", _TEMPLATE_CLUSTER, "-c", config)
    return Template(
        key="kafka-storage-1",
        command=Command(program="broker", arguments=tool),
        files=("log/meta.properties", "log/bootstrap.checkpoint"),
        substitute={_TEMPLATE_CLUSTER: new_cluster_id()},
    )


def _settings(site: Site) -> str:
    return _SERVER.format(
        control=Address(host=LOOPBACK, port=site.listen("kafka-control").port),
        internal=site.listen("kafka-internal"),
        internal_seen=site.outside("kafka-internal"),
        connect=site.listen("kafka-connect"),
        connect_seen=site.inside("connect-kafka"),
        archiver=site.listen("kafka-archiver"),
        archiver_seen=site.outside("archiver-kafka"),
        data=site.data("kafka"),
        record_bytes_max=RECORD_BYTES_MAX,
    )


def _admin(broker: Address) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": str(broker),
            "log_level": 0,  # a broker that isn't up yet is no news; the fact's limit reports it
            "socket.timeout.ms": 5000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
        }
    )


def _expect_broker(broker: Address) -> None:
    seen = _admin(broker).list_topics(timeout=ANSWER_S_MAX).brokers
    if len(seen) != 1:
        raise NotYet(f"brokers in the metadata: {sorted(seen)}")
