"""Faults of links, by toxics of their proxies; and of the object store, slow or full.

Each is probed from both sides: through the proxy nothing comes back, or late; at the server itself it does.
A heal ends the link's connections: bytes that a toxic swallowed will never come.
"""

from __future__ import annotations

from typing import Final, cast

from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from harness.drive.ports import Proof
from harness.model.faults import CutLink, DelayLink, FullStore, LinkName, ResetLink, SlowStore
from harness.stack.service import Address
from harness.stack.services.toxiproxy import Stream, Toxic
from harness.stack.world.faults.ground import STORE_AWAY, Ground, Performed, keeps, seen
from harness.stack.world.faults.talk import Server, answer_s

PROBE_S_MAX: Final = 1.0
STORE_LINKS: Final[tuple[LinkName, ...]] = ("archiver-minio", "restorer-minio")
_STREAMS: Final[dict[str, tuple[Stream, ...]]] = {
    "both": ("upstream", "downstream"),
    "up": ("upstream",),
    "down": ("downstream",),
}


def _cut(ground: Ground, fault: CutLink) -> Proof:
    toxics = [Toxic(type="timeout", stream=s, attributes={"timeout": 0}) for s in _STREAMS[fault.direction]]
    ground.stack.proxies.poison(fault.link, toxics)
    return _silent(ground, fault.link, f"cut {fault.direction}")


def _reset(ground: Ground, fault: ResetLink) -> Proof:
    toxic = Toxic(type="limit_data", stream="downstream", attributes={"bytes": fault.answer_bytes})
    ground.stack.proxies.poison(fault.link, [toxic])
    return _silent(ground, fault.link, f"broken off after {fault.answer_bytes} bytes")


def _silent(ground: Ground, link: LinkName, words: str) -> Proof:
    """Nobody answers through the link, and the server itself does, unless it is disturbed as well."""
    through_s, direct_s = _both(ground, link)
    direct = "does not answer either" if direct_s is None else f"answers in {1000 * direct_s:.0f} ms"
    return Proof(
        seen=through_s is None,
        words=f"{link} is {words}: {'no answer' if through_s is None else 'an answer'} through it within"
        f" {PROBE_S_MAX:g} s; the server itself {direct}",
    )


def _delay(ground: Ground, fault: DelayLink) -> Proof:
    attributes = {"latency": fault.delay_ms, "jitter": 0}
    toxics = [Toxic(type="latency", stream=s, attributes=attributes) for s in _STREAMS["both"]]
    ground.stack.proxies.poison(fault.link, toxics)
    least_s = 2 * fault.delay_ms / 1000
    through_s, direct_s = _both(ground, fault.link, limit_s=2 * least_s + PROBE_S_MAX)
    late = through_s is None or through_s >= least_s
    return Proof(
        seen=late and (direct_s is None or direct_s < least_s),
        words=f"{fault.link} takes {fault.delay_ms} ms longer each way: an answer took {through_s} s"
        f" through it and {direct_s} s at the server",
    )


def _clear(ground: Ground, fault: CutLink | DelayLink | ResetLink) -> Proof:
    ground.stack.proxies.cure(fault.link)
    left = ground.stack.proxies.toxics(fault.link)
    return Proof(seen=not left, words=f"{fault.link} has no toxic any more")


def _slow_store(ground: Ground, fault: SlowStore) -> Proof:
    toxics = [
        Toxic(type="bandwidth", stream=s, attributes={"rate": fault.rate_kb}) for s in _STREAMS["both"]
    ]
    for link in STORE_LINKS:
        ground.stack.proxies.poison(link, toxics)
    set_ = {link: ground.stack.proxies.toxics(link) for link in STORE_LINKS}
    return Proof(seen=all(set_.values()), words=f"{fault.rate_kb} KB/s each way: {set_}")


def _fast_store(ground: Ground, _: SlowStore) -> Proof:
    for link in STORE_LINKS:
        ground.stack.proxies.cure(link)
    return Proof(
        seen=not any(ground.stack.proxies.toxics(link) for link in STORE_LINKS),
        words=f"{', '.join(STORE_LINKS)} have no toxic any more",
    )


def _full_store(ground: Ground, _: FullStore) -> Proof:
    """A quota of one byte: every write is refused, as on a full disk, and every read is answered."""
    _admin(ground).bucket_quota_set(ground.stack.identity.bucket, 1)
    refused = ground.watch.refuses_writes()
    return Proof(seen=bool(refused), words=f"a write to the bucket was refused: {refused or 'it was not'}")


def _roomy_store(ground: Ground, _: FullStore) -> Proof:
    admin, bucket = _admin(ground), ground.stack.identity.bucket
    try:
        admin.bucket_quota_clear(bucket)
    except STORE_AWAY as away:
        return Proof(seen=False, words=f"the quota could not be taken back: {away}")
    return seen(f"the quota is {admin.bucket_quota_get(bucket)}; {keeps(ground)}")


def _admin(ground: Ground) -> MinioAdmin:
    identity = ground.stack.identity
    return MinioAdmin(
        endpoint=str(ground.stack.outside("minio")),
        credentials=StaticProvider(identity.access_key, identity.secret_key),
        secure=False,
    )


def _both(
    ground: Ground, link: LinkName, *, limit_s: float = PROBE_S_MAX
) -> tuple[float | None, float | None]:
    """Return how long an answer takes through the link and at the server itself, None where none comes."""
    server = cast("Server", link.partition("-")[2])
    through = answer_s(server, ground.stack.outside(link), limit_s=limit_s)
    return through, answer_s(server, _direct(ground, server), limit_s=limit_s)


def _direct(ground: Ground, server: Server) -> Address:
    ports = {"primary": "harness-primary", "kafka": "kafka-internal", "minio": "minio"}
    return ground.stack.outside(ports[server])


CUT = Performed(_cut, _clear)
DELAY = Performed(_delay, _clear)
RESET = Performed(_reset, _clear)
SLOW_STORE = Performed(_slow_store, _fast_store)
FULL_STORE = Performed(_full_store, _roomy_store)
