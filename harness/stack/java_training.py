"""The training run that makes the Java caches: once for each cache folder, under a lock, never in the way.

A whole small stack runs, so that the classes which a drill needs are seen; the JVM records while it runs
and writes the cache when it is asked to end. A failure is noted beside the caches, so that it is not
repeated at each start, and starts go on without.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from harness.model.errors import HarnessFailed
from harness.stack import java_cache
from harness.stack.endpoints import Endpoints
from harness.stack.host import Service
from harness.stack.options import StackOptions
from harness.stack.programs import Programs
from harness.stack.services import postgres
from harness.stack.together import Progress, Step, run_step, silent
from harness.stack.wait import NotYet, wait_for, wait_until

WRITTEN_S_MAX = 120.0
CONFIRMED_S_MAX = 30.0
LOCK_S_MAX = 300.0

_FAILED = "failed.txt"
_SCRATCH = "training-"
_SCHEMA = """
CREATE TABLE training (
    id bigint PRIMARY KEY, small smallint, exact numeric, whole text, doc jsonb, raw bytea,
    at timestamptz, day date, span interval, uid uuid, list int[], flag boolean
);
ALTER TABLE training REPLICA IDENTITY FULL;
"""
_PUBLICATION = "CREATE PUBLICATION {publication} FOR TABLE training"
_INSERT = (
    "INSERT INTO training SELECT i, 1, 1.5, repeat('x', 3000), '{{}}', '\\x00', now(), now(), '1 day',"
    " gen_random_uuid(), '{{1,NULL}}', true FROM generate_series({n}0, {n}9) AS i"
)
_CHANGES = (
    _INSERT,
    "UPDATE training SET small = {n}, whole = NULL WHERE id > {n}4",
    "DELETE FROM training WHERE id = {n}9",
)
_CONFIRMED = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"


class Trainee(Protocol):
    """What a training run does with a stack; ``Stack`` is one, and has caches made before it starts."""

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is."""

    def start_services(self) -> None:
        """Start all services and wait until they are ready."""

    def load_schema(self, sql: str) -> None:
        """Make the application's tables."""

    def load_capture_sql(self, sql: str) -> None:
        """Prepare the database for capture."""

    def start_capture(self) -> None:
        """Start the connector and wait until it streams."""

    def service(self, name: str) -> Service:
        """Return the service of that name."""

    def close(self) -> None:
        """End everything."""


Prepare = Callable[[StackOptions, Progress], Trainee]
"""Claims what a stack needs, and starts nothing."""


def ensure(programs: Programs, root: Path | None, progress: Progress, prepare: Prepare) -> None:
    """Make the caches unless they exist or could not be made before; ``prepare`` gives the stack for it."""
    if java_cache.are_complete(programs):
        return
    folder = programs.aot_dir
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if java_cache.are_complete(programs) or (folder / _FAILED).exists():
            return
        for left in folder.glob(f"{_SCRATCH}*"):  # of a training that was killed
            shutil.rmtree(left, ignore_errors=True)
        try:
            run_step(Step(name="java caches", run=lambda: _train(programs, root, prepare)), (), progress)
        except (HarnessFailed, OSError) as failed:
            (folder / _FAILED).write_text(f"{failed}\nRemove this file to have it tried again.\n")


def _train(programs: Programs, root: Path | None, prepare: Prepare) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=programs.aot_dir))
    made = {program: scratch / f"{program}.aot" for program in java_cache.JAVA_SERVICES}
    recording = {program: (f"-XX:AOTCacheOutput={path}",) for program, path in made.items()}
    options = StackOptions(programs=programs, root=root, java_options=recording)
    try:
        with closing(prepare(options, silent)) as stack:
            stack.start_services()
            _exercise(stack)
            for program, service in java_cache.JAVA_SERVICES.items():
                stack.service(service).terminate(limit_s=WRITTEN_S_MAX)
                made[program].rename(java_cache.cache(programs, program))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _exercise(stack: Trainee) -> None:
    """Send some rows of many types through the connector and wait until it has confirmed them."""
    names = stack.endpoints
    stack.load_schema(_SCHEMA)
    stack.load_capture_sql(_PUBLICATION.format(publication=names.publication))
    stack.start_capture()
    for n in range(1, 20):
        for change in _CHANGES:
            postgres.run_sql(names.app_dsn, change.format(n=n))
    end = postgres.one(names.admin_dsn, "SELECT pg_current_wal_lsn()")
    assert end is not None  # a SELECT without FROM has a row

    def expect_confirmed() -> None:
        found = postgres.one(names.admin_dsn, _CONFIRMED, end[0], names.slot)
        if found != (True,):
            raise NotYet(f"confirmed: {found}")

    wait_for("the connector confirmed the training rows", expect_confirmed, limit_s=CONFIRMED_S_MAX)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    def take() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    with path.open("w") as file:
        wait_until(f"nobody else trains, by {path}", take, limit_s=LOCK_S_MAX)
        yield
