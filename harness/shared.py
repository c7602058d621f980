"""One stack for several test processes: a keeper owns it and runs their drills, one after another.

A drill breaks services under everybody's feet and reads all rows at its end, so two drills on one stack
would spoil each other: sharing means taking turns. The keeper is a child of pytest's controller. It starts
the stack when the first drill is asked for, and ends with it when its parent ends, however that comes
about: its standard input is at its end then. It listens on a Unix socket in a folder of its own.

One request is one connection: a line of JSON each way. The keeper answers in the order of arrival.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from harness.model.errors import BadInput, HarnessFailed, RestoreproofError
from harness.model.plan import Plan
from harness.model.verdict import DrillVerdict
from harness.schemas import load
from harness.session import LiveSession
from harness.stack import ending
from harness.stack.host import HostName
from harness.stack.settings import stack_options

ANSWER_S_MAX = 3600.0
"""How long a drill may take, the turns of all others before it included."""
ENDS_S_MAX = 60.0
_WAITING_MAX = 256


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper is to keep: its first line of input."""

    place: str
    schema: str
    host: HostName


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Run ``plan`` into the folder ``run``."""

    plan: Plan
    run: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, or the message of what went wrong, with its cure; ``is_input``: it was a BadInput."""

    verdict: DrillVerdict | None = None
    error: str = ""
    cure: str = ""
    is_input: bool = False


class SharedSession:
    """What a test process has of the shared stack: it can have drills run there, and nothing else.

    ``place`` is the keeper's, ``schema`` a name or a folder. Shaped like ``LiveSession`` as far as it goes.
    """

    def __init__(self, place: Path, schema: str) -> None:
        self.schema = load(schema).schema
        self._place = place

    def drill(self, the_plan: Plan, run: Path) -> DrillVerdict:
        """Run one plan into the folder ``run`` and judge it, once it is our turn.

        Raises BadInput and HarnessFailed as the keeper met them, and HarnessFailed when it is gone.
        """
        request = Request(plan=the_plan, run=str(run.resolve()))
        answer = msgspec.json.decode(self._ask(msgspec.json.encode(request)), type=Answer)
        if answer.verdict is None:
            kind = BadInput if answer.is_input else HarnessFailed
            raise kind(answer.error, cure=answer.cure)
        return answer.verdict

    def _ask(self, line: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(ANSWER_S_MAX)
            try:
                link.connect(str(_socket_in(self._place)))
                with link.makefile("rwb") as lines:
                    lines.write(line + b"\n")
                    lines.flush()
                    answer = lines.readline()
            except OSError as error:
                raise HarnessFailed(f"the keeper of the shared stack does not answer: {error}") from error
        if not answer:
            raise HarnessFailed("the keeper of the shared stack ended; it said why on stderr")
        return answer


class Keeper:
    """The keeper's process, as its parent sees it; ``place`` is what test processes need to know."""

    def __init__(self, schema: str, host: HostName) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="restoreproof-"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(_socket_in(self.place)))
            listener.listen(_WAITING_MAX)
            self._process = _spawn(listener.fileno())
        order = Order(place=str(self.place), schema=schema, host=host)
        self._commands.write(msgspec.json.encode(order) + b"\n")
        self._commands.flush()

    def close(self) -> None:
        """End the keeper and its stack; returns once they are gone. May be called twice."""
        self._commands.close()
        try:
            self._process.wait(timeout=ENDS_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what it leaves is swept at the next start
            self._process.wait(timeout=ENDS_S_MAX)
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def _commands(self) -> IO[bytes]:
        assert self._process.stdin is not None  # it was asked for
        return self._process.stdin


def keep(commands: BinaryIO, listener_fd: int) -> None:
    """Be the keeper: ``commands`` holds the order, and ends with our parent."""
    order = msgspec.json.decode(commands.readline(), type=Order)
    ending.exit_on_signals()
    try:
        threading.Thread(target=_end_with, args=(commands,), daemon=True).start()
        with socket.socket(fileno=listener_fd) as listener, ExitStack() as stack:
            service = _Service(order, stack)
            while True:
                _serve_one(listener, service)
    except KeyboardInterrupt:
        pass  # our parent ended, or told us to
    finally:
        shutil.rmtree(order.place, ignore_errors=True)


def _serve_one(listener: socket.socket, service: _Service) -> None:
    """Take the next request and answer it; who asked may be gone before or after."""
    link, _ = listener.accept()
    with link, contextlib.suppress(OSError), link.makefile("rwb") as lines:
        if line := lines.readline():
            lines.write(msgspec.json.encode(service.answer(line)) + b"\n")


class _Service:
    """Answers requests on one stack, started at the first of them and closed with ``stack``."""

    def __init__(self, order: Order, stack: ExitStack) -> None:
        self._order = order
        self._stack = stack
        self._session: LiveSession | None = None
        self._failed: RestoreproofError | None = None

    def answer(self, line: bytes) -> Answer:
        """Run the drill that a request asks for, and tell its verdict or what went wrong."""
        request = msgspec.json.decode(line, type=Request)
        try:
            return Answer(verdict=self._open().drill(request.plan, Path(request.run)))
        except RestoreproofError as error:
            return Answer(error=error.message, cure=error.cure, is_input=isinstance(error, BadInput))

    def _open(self) -> LiveSession:
        """Return the running session; one that did not come up is not tried again."""
        if self._failed is not None:
            raise self._failed
        if self._session is None:
            try:
                self._session = self._stack.enter_context(self._start())
            except RestoreproofError as error:
                self._failed = error
                raise
        return self._session

    def _start(self) -> AbstractContextManager[LiveSession]:
        return LiveSession.open(self._order.schema, stack_options(self._order.host))


def _end_with(commands: BinaryIO) -> None:
    """Wait for the end of our parent, and then end as if told to."""
    commands.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _spawn(listener_fd: int) -> subprocess.Popen[bytes]:
    """Start the keeper; what it says goes where our own errors go."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness.shared", str(listener_fd)],
        stdin=subprocess.PIPE,
        stdout=sys.__stderr__,
        pass_fds=(listener_fd,),
    )


def _socket_in(place: Path) -> Path:
    return place / "socket"


if __name__ == "__main__":
    keep(sys.stdin.buffer, int(sys.argv[1]))
