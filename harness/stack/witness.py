"""The second witness of a stack: what Barman keeps of it, and scratch clusters at points in time.

Barman makes one base backup and receives all WAL since, and knows nothing of the archive. A point in time
is a copy of that backup with the WAL beside it, which the stack's own Postgres replays to just before one
commit. (Barman's own ``restore`` makes that copy with rsync, which not every machine has.) All of it runs
beside the harness, whichever the host.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from harness.model.errors import BadInput, HarnessFailed, TimedOut
from harness.model.history import Cut
from harness.model.position import format_lsn, parse_lsn
from harness.stack.host import Host, Service
from harness.stack.identity import DATABASE, SUPERUSER
from harness.stack.programs import barman, cache, locate
from harness.stack.service import Copyable
from harness.stack.services import postgres, witness
from harness.stack.wait import NotYet, wait_for

ARCHIVED_S_MAX = 60.0
DROPPED_S_MAX = 5.0
LSN_SLACK = 64
"""A record may begin so many bytes further on than the one before it ended: behind a page's header."""

_NOT_FETCHED = "Barman is not among the programs: `restoreproof drill --witness` fetches it"


class BarmanWitness:
    """Of the stack on ``host``. ``begin``, ``gather``, then ``recover`` as often as wanted; ``end``."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._beside = host.beside
        self._admin = postgres.dsn(host.outside("harness-primary"), SUPERUSER, "postgres")
        self._receiver: Service | None = None
        self._cluster: Service | None = None
        self._kept: Path | None = None

    @property
    def why_not(self) -> str:
        """Why there can be no witness here, or an empty text."""
        if cache.fault(barman.part().folder):
            return _NOT_FETCHED
        theirs, ours = self._host.postgres_major, self._beside.postgres_major
        if theirs != ours:
            return f"the stack's Postgres is {theirs}, and that of the programs beside it {ours}"
        return ""

    def must_be_possible(self) -> None:
        """Raise BadInput with the reason where there can be no witness."""
        if self.why_not:
            raise BadInput(
                f"no second witness can be heard here: {self.why_not}",
                cure=f"run it with --host local, or on an image of Postgres {self._beside.postgres_major}"
                " (`[images]` in restoreproof.toml); or leave --witness out (in a plan file: `witnessed`)",
            )

    def begin(self) -> str:
        """Make a base backup and receive WAL from before it on; returns words that name both."""
        self.end()
        log = self._host.logs / "barman.log"
        primary = self._host.outside("harness-primary")
        spec = witness.receiver(self._beside, primary, locate().postgres_bin, log)
        self._receiver = self._beside.service(spec)
        witness.make_slot(self._admin)
        self._receiver.start()
        witness.switch_wal(self._admin)  # Barman wants to see that WAL comes before it makes a backup
        self._barman("backup")
        backups = sorted((self._home / "base").iterdir())
        self._kept = backups[-1] / "data"
        return f"Barman {barman.part().version}, base backup {backups[-1].name}, and all WAL since"

    def gather(self) -> None:
        """Have all WAL up to now; a receiver that a fault or a failover ended begins again."""
        if self._receiver is None:
            raise HarnessFailed("the second witness was never begun")
        if not self._receiver.is_running():
            witness.make_slot(self._admin)
            self._receiver.start()
        segment = witness.switch_wal(self._admin)

        def archived() -> None:
            if not any(path.name == segment for path in self._wal()):
                self._barman("archive-wal")
                raise NotYet(f"Barman has {sorted(path.name for path in self._wal())[-1:]}")

        wait_for(f"Barman has segment {segment}", archived, limit_s=ARCHIVED_S_MAX, poll_s=0.2)

    def recover(self, cut: Cut) -> str:
        """Start a scratch cluster just before ``cut.xid`` commits; returns the DSN of its database.

        Raises HarnessFailed when it stands elsewhere than the cut's bounds say, ServiceDied when its WAL
        ends before that commit.
        """
        self.forget_cluster()
        service = self._beside.service(witness.cluster(self._beside, cut.xid))
        assert isinstance(service, Copyable)  # every service of the local host is
        self._cluster = service
        service.fill(self._made_ready())
        service.start()
        admin = witness.admin_dsn(self._beside)
        lsn = parse_lsn(witness.replayed_lsn(admin))
        if not cut.lsn_lower - LSN_SLACK <= lsn <= cut.lsn_upper:
            bounds = f"{format_lsn(cut.lsn_lower)} and {format_lsn(cut.lsn_upper)}"
            raise HarnessFailed(f"replay stopped at {format_lsn(lsn)}, not between {bounds}")
        return witness.admin_dsn(self._beside, DATABASE)

    def forget_cluster(self) -> None:
        """Kill the scratch cluster, if there is one, and delete its data."""
        if self._cluster is not None:
            self._cluster.kill()
            self._cluster.destroy()
            self._cluster = None

    def end(self) -> None:
        """Kill and delete everything; the slot goes too, if the primary answers."""
        self.forget_cluster()
        self._kept = None
        if self._receiver is not None:
            self._receiver.kill()
            self._receiver.destroy()
            self._receiver = None
            with suppress(TimedOut):  # it went with its cluster
                self._drop_slot()

    def _drop_slot(self) -> None:
        """Drop the slot, once the primary has seen that nobody streams from it any more."""
        wait_for(
            "the second witness's slot is dropped",
            lambda: postgres.drop_slot(self._admin, witness.SLOT),
            limit_s=DROPPED_S_MAX,
            transient=postgres.NOT_THERE,
        )

    @property
    def _home(self) -> Path:
        return Path(self._beside.data(witness.RECEIVER)) / witness.SERVER

    def _wal(self) -> list[Path]:
        return [path for path in (self._home / "wals").rglob("0*") if path.is_file()]

    def _barman(self, what: str) -> None:
        assert self._receiver is not None  # it was begun
        self._receiver.run_once(witness.barman_command(self._beside, what))

    def _made_ready(self) -> Path:
        """Return a copy of the base backup, with the WAL to replay; the files of WAL are the very same."""
        if self._kept is None:
            raise HarnessFailed("the second witness was never begun")
        copy = self._beside.folder / "witness-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._kept, copy)
        (copy / witness.WAL_FOLDER).mkdir()
        for path in self._wal():
            os.link(path, copy / witness.WAL_FOLDER / path.name)
        (copy / "postgresql.auto.conf").write_text("")
        (copy / "recovery.signal").touch()
        return copy
