"""What faults act on, the facts that show that all is well again, and the form in which either is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import psycopg
import urllib3
from minio.error import S3Error

from harness.drive.ports import Proof
from harness.model.errors import HarnessFailed
from harness.model.faults import Fault, Stage, touches
from harness.stack.identity import STANDBY
from harness.stack.services import minio, postgres
from harness.stack.stack import Stack
from harness.stack.wait import NotYet, wait_for
from harness.stack.world.bucket import MinioBucket
from harness.subject.reference.config import ArchiveConfig

WELL_S_MAX = 60.0
"""How long it may take after a fault until what it touched works again."""

STORE_AWAY = (urllib3.exceptions.HTTPError, S3Error, httpx.HTTPError, OSError)
_IN_SYNC = """
SELECT sync_state = 'sync' OR current_setting('synchronous_standby_names') = ''
FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'
"""


class Gone(HarnessFailed):
    """What was waited for was destroyed meanwhile."""


class Ground(msgspec.Struct, frozen=True):
    """The stack, listings of its bucket that are the faults' own, and what its archiver is told.

    ``has_cluster``: whether more than the archive is left by now.
    """

    stack: Stack
    watch: MinioBucket
    config: ArchiveConfig
    has_cluster: Callable[[], bool]

    @property
    def admin(self) -> str:
        """The superuser's way to the primary, by a link that no fault cuts."""
        return self.stack.endpoints.admin_dsn

    def expect_cluster(self) -> None:
        """Raise Gone once the cluster was destroyed: nobody need wait for it to be well again."""
        if not self.has_cluster():
            raise Gone("everything but the archive was destroyed meanwhile")


Strike = Callable[[Ground, Any], Proof]


class Performed(msgspec.Struct, frozen=True):
    """How a kind is done and undone; undoing may come twice, and without the fault having struck.

    ``heal`` undoes it, and returns what shows that; that what was touched works again is seen afterwards.
    """

    disturb: Strike
    heal: Strike


def seen(words: str) -> Proof:
    """Something was seen to be so."""
    return Proof(seen=True, words=words)


def all_well(ground: Ground, fault: Fault) -> str:
    """Wait until all that a fault touched works again; return that in words. Raises TimedOut, Gone."""
    facts = dict.fromkeys(_WELL[stage] for stage in touches(fault).stages)
    return "; ".join(fact(ground) for fact in facts)


def in_sync(ground: Ground) -> str:
    """Wait until the primary answers and its standby has all of it."""

    def probe() -> None:
        ground.expect_cluster()
        found = postgres.one(ground.admin, _IN_SYNC, STANDBY)
        if found != (True,):
            raise NotYet(f"in sync: {found}")

    wait_for("the standby is in sync", probe, limit_s=WELL_S_MAX, transient=postgres.NOT_THERE)
    return "the standby is in sync"


def answers(ground: Ground) -> str:
    """Wait until the primary answers at the clients' address."""

    def probe() -> None:
        ground.expect_cluster()
        postgres.one(ground.stack.endpoints.app_dsn, "SELECT 1")

    wait_for(
        "the primary answers its clients",
        probe,
        limit_s=WELL_S_MAX,
        transient=(psycopg.OperationalError,),
    )
    return "the primary answers its clients"


def captures(ground: Ground) -> str:
    """Wait until connector and task run and stream from the slot."""
    ground.stack.capture.resume(ground.expect_cluster)
    return "connector and task are RUNNING and stream from the slot"


def keeps(ground: Ground) -> str:
    """Wait until the object server answers and its bucket still has versions and Object Lock (FM-88)."""
    wait_for(
        "the object server answers, and the bucket has Object Lock",
        lambda: minio.expect_lockable(ground.stack.outside("minio"), ground.stack.identity),
        limit_s=WELL_S_MAX,
        transient=STORE_AWAY,
    )
    return "the object server answers and the bucket has Object Lock"


def archives(ground: Ground) -> str:
    """Wait until something new is in the bucket."""
    ground.watch.look()

    def probe() -> None:
        ground.expect_cluster()
        if not ground.watch.look():
            raise NotYet("no new object in the bucket")

    wait_for("the archiver writes to the bucket", probe, limit_s=WELL_S_MAX, transient=STORE_AWAY)
    return "the archiver has written to the bucket again"


def _nothing(_: Ground) -> str:
    return "nothing else was touched"


_WELL: dict[Stage, Callable[[Ground], str]] = {
    "ack": answers,
    "WAL": answers,
    "standby": in_sync,
    "slot": captures,
    "Connect": captures,
    "Kafka": captures,
    "archiver": archives,
    "bucket": keeps,
    "restore": _nothing,
}
