"""The local host: runs service descriptions as plain processes on loopback, no container needed.

Every process gets a session of its own, a small environment with the stack's marker, its data folder as
working directory and a log file; Postgres runs as *nobody* when the harness runs as root. ``close`` kills
whatever carries the marker and removes the folder, so it does not matter how far a start had come.

Authentication is left open (``trust``): the services listen on 127.0.0.1 only, on ports drawn for this
run, hold generated data and live as long as the drill.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from harness.model.errors import BadInput, HarnessFailed, MissingProgram, ServiceDied
from harness.stack import folder as folders
from harness.stack import processes
from harness.stack.host import HostName
from harness.stack.options import JavaOptions
from harness.stack.portblock import LOOPBACK, PortBlock, reserve
from harness.stack.programs import Programs, located
from harness.stack.service import Address, Command, Program, ServiceSpec, Template
from harness.stack.wait import wait_for, wait_until

PREPARE_S_MAX = 60.0
REAP_S_MAX = 10.0
ANSWER_S_MAX = 10.0
_TAIL_BYTES = 2000

_UNPRIVILEGED_USER = "nobody"


class LocalHost:
    """Names (it is a ``Site``) and processes of one stack on this machine.

    ``folder`` must have been claimed; ``logs`` is where logs go that shall outlive it; ``java_options``
    are put before the class path, per Java program.
    """

    def __init__(
        self,
        *,
        stack_id: str,
        folder: Path,
        port_names: Sequence[str],
        programs: Programs,
        logs: Path | None = None,
        first_port: int | None = None,
        java_options: JavaOptions | None = None,
    ) -> None:
        self.stack_id = stack_id
        self.folder = folder
        self.logs = logs or folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._programs = programs
        self._java_options = java_options or {}
        self._block: PortBlock = reserve(len(port_names), first=first_port)
        self._ports = {name: self._block.first + i for i, name in enumerate(port_names)}
        self._children: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._closed = False

    def listen(self, port: str) -> Address:
        """Return what the service itself binds: everything is on loopback here."""
        return Address(host=LOOPBACK, port=self._ports[port])

    inside = listen
    outside = listen

    def data(self, service: str) -> str:
        """Return the service's data folder."""
        return str(self.folder / "data" / service)

    def file(self, service: str, name: str) -> str:
        """Return the path of one of the service's configuration files."""
        return str(self.folder / "files" / service / name)

    @property
    def ports(self) -> Mapping[str, int]:
        """The stack's ports by name."""
        return self._ports

    @property
    def postgres_major(self) -> int:
        """The major version of Postgres, as the program itself says."""
        return postgres_major(self._programs.postgres_bin / "postgres")

    @property
    def name(self) -> HostName:
        """Plain processes."""
        return "local"

    @property
    def beside(self) -> LocalHost:
        """Everything runs beside the harness here."""
        return self

    def service(self, spec: ServiceSpec) -> LocalService:
        """Return a handle on the service; nothing is started yet."""
        return LocalService(self, spec)

    def evidence(self) -> dict[str, object]:
        """Return the host's name and the versions of all programs."""
        return {"host": "local", "versions": dict(self._programs.versions)}

    def argv(self, command: Command) -> list[str]:
        """Return the command line of ``command`` on this machine."""
        return [*self._program(command.program), *command.arguments]

    def spawn(self, argv: list[str], spec: ServiceSpec, log: Path) -> subprocess.Popen[bytes]:
        """Start a process of a service; raises HarnessFailed once the host is closed."""
        user = unprivileged_user() if spec.unprivileged else None
        with self._lock, log.open("ab") as output:
            if self._closed:
                raise HarnessFailed(f"{spec.name} can't be started: the stack is closed")
            child = subprocess.Popen(
                argv,
                cwd=self.data(spec.name),
                env=self._environment(spec),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )
            self._children.append(child)
            return child

    def make_folders(self, spec: ServiceSpec) -> None:
        """Make data folder and configuration files, readable for the service's user only."""
        Path(self.data(spec.name)).mkdir(mode=0o700, exist_ok=True)
        own(Path(self.data(spec.name)), spec)
        folder = self.folder / "files" / spec.name
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, text in spec.files.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
            own(folder / name, spec)
        own(folder, spec)

    def clock_off(self, offset_s: float) -> dict[str, str]:
        """Return the environment in which a program's wall clock is so many seconds off."""
        return {
            "LD_PRELOAD": str(self._programs.faketime),
            "FAKETIME": f"{offset_s:+g}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def templates(self) -> Path:
        """Return the folder in which templates are kept from stack to stack."""
        return self._programs.aot_dir / "templates"

    def close(self) -> None:
        """Kill every process of the stack, remove its folder, free its ports; may be called twice."""
        with self._lock:
            self._closed = True
        processes.end_stack(self.stack_id, self.folder)
        for child in self._children:
            child.wait(timeout=REAP_S_MAX)  # it is dead: this only takes note of it
        folders.remove(self.folder)
        self._block.release()

    def _program(self, program: Program) -> list[str]:
        parts = self._programs
        if program in ("postgres", "initdb", "pg_basebackup", "pg_rewind"):
            return [str(parts.postgres_bin / program)]
        if program in ("broker", "connect"):
            jars = parts.broker_jars if program == "broker" else parts.connect_jars
            options = self._java_options.get(program, ())
            return [str(parts.java), *options, "-cp", ":".join(str(j) for j in jars)]
        if program == "python":
            return [sys.executable]
        return [str(parts.minio if program == "minio" else parts.toxiproxy)]

    def _environment(self, spec: ServiceSpec) -> dict[str, str]:
        """Return a small environment: no proxy, no Java option, no locale of the caller's leaks in."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self.data(spec.name),
            "TMPDIR": self.data(spec.name),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **spec.environment,
            processes.MARKER: self.stack_id,
        }


class LocalService:
    """One service as processes of this machine: Killable, Pausable, Restartable, Copyable, Clocked."""

    def __init__(self, host: LocalHost, spec: ServiceSpec) -> None:
        self.spec = spec
        self._host = host
        self._data = Path(host.data(spec.name))
        self._log = host.logs / f"{spec.name}.log"
        self._clock: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def describe(self, spec: ServiceSpec) -> None:
        """Take another description of the service, from its next start on."""
        self.spec = spec

    def start(self) -> None:
        """Start the service, on the data it left if any, and return once its readiness fact holds.

        Raises TimedOut, or ServiceDied when it ended before it was ready.
        """
        if self.is_running():
            raise BadInput(f"{self.spec.name} is running already", cure="kill it first")
        self._prepare()
        environment = {**self.spec.environment, **self._clock}
        timed = msgspec.structs.replace(self.spec, environment=environment)
        self._process = self._host.spawn(self._host.argv(self.spec.run), timed, self._log)
        self.wait_ready()

    def set_clock(self, offset_s: float) -> None:
        """Set the wall clock off, from the next start on."""
        self._clock = self._host.clock_off(offset_s) if offset_s else {}

    def wait_ready(self) -> None:
        """Wait for the readiness fact; raises TimedOut or ServiceDied."""

        def probe() -> None:
            if not self.is_running():
                raise ServiceDied(
                    f"{self.spec.name} ended before it was ready; its log ends:\n{self.log_tail()}"
                )
            self.spec.ready.probe()

        fact = self.spec.ready
        wait_for(fact.words, probe, limit_s=fact.limit_s, poll_s=fact.poll_s, transient=fact.transient)

    def is_running(self) -> bool:
        """Whether the main process lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Crash the service: SIGKILL to the main process, then to each child, and see them gone."""
        self.strike()

        def gone() -> bool:
            self._send(signal.SIGKILL)
            return not self.is_running() and not self.pids()

        wait_until(f"no process of {self.spec.name} is left", gone, limit_s=15.0, poll_s=0.01)

    def strike(self) -> None:
        """Send SIGKILL to the main process, then to each child; ``kill`` must follow and see them gone."""
        if self._process is not None:
            self._process.kill()
            self._send(signal.SIGKILL)

    def pause(self) -> None:
        """Stop every process of the service with SIGSTOP."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let every process of the service go on."""
        self._send(signal.SIGCONT)

    def copy_data(self, to: Path) -> None:
        """Copy the data folder as it is at an instant; a service that stands still already stays so.

        It stands still while its files get a second name, not for the seconds that copying takes. That is
        enough for a service that never writes into a file it has finished, but replaces it by renaming.
        """
        named = to.with_name(f"{to.name}.named")
        moving = [pid for pid in self.pids() if not processes.is_stopped(pid)]
        processes.send(moving, signal.SIGSTOP, self._host.stack_id, self._data)
        try:
            shutil.copytree(self._data, named, copy_function=os.link)
        finally:
            processes.send(moving, signal.SIGCONT, self._host.stack_id, self._data)
        shutil.copytree(named, to)
        shutil.rmtree(named)

    def fill(self, copy: Path) -> None:
        """Make a copy the data folder of a service that was never started."""
        self._host.make_folders(self.spec)
        self._data.rmdir()
        copy.rename(self._data)
        if self.spec.unprivileged:
            self._data.chmod(0o700)
            own_all((self._data, *self._data.rglob("*")), self.spec)

    def terminate(self, *, limit_s: float) -> int:
        """Ask the main process to end (SIGTERM), wait for it, return its exit code; raises TimedOut."""
        process = self._process
        if process is None:
            return 0
        process.terminate()
        wait_until(f"{self.spec.name} ended", lambda: not self.is_running(), limit_s=limit_s)
        return int(process.returncode)

    def destroy(self) -> None:
        """Delete the data and files of the service, which must have been killed."""
        shutil.rmtree(self._data, ignore_errors=True)
        shutil.rmtree(self._host.folder / "files" / self.spec.name, ignore_errors=True)

    def pids(self) -> list[int]:
        """Return the pids of all its processes."""
        return processes.of_service(self._host.stack_id, self._data)

    def memory_bytes(self) -> int:
        """Return the memory of all its processes as the sum of their proportional shares."""
        return sum(processes.pss_bytes(pid) for pid in self.pids())

    def log_tail(self) -> str:
        """Return the end of its log."""
        return tail(self._log)

    def _send(self, signum: signal.Signals) -> None:
        processes.send(self.pids(), signum, self._host.stack_id, self._data)

    def _prepare(self) -> None:
        self._host.make_folders(self.spec)
        done = self._host.folder / "files" / self.spec.name / ".prepared"
        if done.exists():
            return
        for step in self.spec.prepare:
            if isinstance(step, Template):
                self._from_template(step)
            else:
                self.run_once(step)
        done.touch()

    def _from_template(self, template: Template) -> None:
        kept = self._host.templates() / template.key
        if not all((kept / name).is_file() for name in template.files):
            self.run_once(template.command)
            keep(self._data, template.files, kept)
        for name in template.files:
            place = self._data / name
            place.parent.mkdir(parents=True, exist_ok=True)
            content = (kept / name).read_bytes()
            for old, new in template.substitute.items():
                content = content.replace(old.encode(), new.encode())
            place.write_bytes(content)
            own_all((place.parent, place), self.spec)

    def run_once(self, command: Command) -> None:
        """Run a program once on the service's data, in its place; raises HarnessFailed if it fails."""
        log = self._host.logs / f"{self.spec.name}.prepare.log"
        process = self._host.spawn(self._host.argv(command), self.spec, log)
        wait_until(
            f"{command.program} prepared {self.spec.name}",
            lambda: process.poll() is not None,
            limit_s=PREPARE_S_MAX,
            poll_s=0.02,
        )
        if process.returncode != 0:
            raise HarnessFailed(
                f"{command.program} for {self.spec.name} ended with {process.returncode}:\n{tail(log)}"
            )


@cache
def postgres_major(postgres: Path) -> int:
    """Return the major version that the program ``postgres`` prints; raises MissingProgram."""
    answer = subprocess.run(
        [postgres, "--version"], capture_output=True, text=True, timeout=ANSWER_S_MAX, check=False
    )
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if found is None:
        raise MissingProgram(
            f"{postgres} --version says {answer.stdout + answer.stderr!r}", cure=located.CURE
        )
    return int(found[1])


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user for services that refuse to run as root, or None when this isn't root."""
    return pwd.getpwnam(_UNPRIVILEGED_USER) if os.geteuid() == 0 else None


def own(path: Path, spec: ServiceSpec) -> None:
    """Give a file or folder to the user that the service runs as."""
    user = unprivileged_user() if spec.unprivileged else None
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def own_all(paths: Iterable[Path], spec: ServiceSpec) -> None:
    """Give several files or folders to the user that the service runs as."""
    for path in paths:
        own(path, spec)


def keep(data: Path, files: Sequence[str], kept: Path) -> None:
    """Keep copies of ``files`` for later stacks, complete or not at all."""
    half_made = kept.with_name(f".{kept.name}-{os.getpid()}-{threading.get_ident()}")
    for name in files:
        (half_made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / name, half_made / name)
    try:
        half_made.rename(kept)
    except OSError:  # another stack was first
        shutil.rmtree(half_made)


def tail(log: Path) -> str:
    """Return the last ``_TAIL_BYTES`` bytes of a log as text."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
