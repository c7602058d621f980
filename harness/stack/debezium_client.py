"""Our own small client for Kafka Connect's REST interface, as far as a Debezium connector needs it.

Two traps shape it. A connector can be RUNNING while its task is FAILED and REST answers 200, so a status
is always that of both. And Connect ignores configuration keys that it does not know, so a typo would
silently mean the default: keys are checked against a list of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import msgspec

from harness.model.errors import HarnessFailed, UnknownName
from harness.stack import rest
from harness.stack.wait import NotYet, wait_for

NOT_THERE = (httpx.HTTPError,)
CONFLICT_S_MAX = 20.0

_KNOWN_KEYS = """
connector.class tasks.max errors.tolerance
key.converter key.converter.schemas.enable key.converter.replace.null.with.default
value.converter value.converter.schemas.enable value.converter.replace.null.with.default
transforms transforms.one.type transforms.one.regex transforms.one.replacement
topic.prefix plugin.name binary.handling.mode decimal.handling.mode interval.handling.mode
time.precision.mode include.unknown.datatypes converters gone.type unavailable.value.placeholder
database.hostname database.port database.user database.password database.dbname
driver.socketTimeout driver.connectTimeout
slot.name slot.failover slot.drop.on.stop slot.max.retries slot.retry.delay.ms
publication.name publication.autocreate.mode lsn.flush.mode offset.mismatch.strategy
snapshot.mode snapshot.select.statement.overrides snapshot.max.threads snapshot.fetch.size snapshot.delay.ms
provide.transaction.metadata skipped.operations tombstones.on.delete
event.processing.failure.handling.mode errors.max.retries retriable.restart.connector.wait.ms
heartbeat.interval.ms poll.interval.ms status.update.interval.ms
message.prefix.exclude.list
max.batch.size max.queue.size max.queue.size.in.bytes
"""
KNOWN_KEYS = frozenset(_KNOWN_KEYS.split())
"""Keys that were seen to be understood by Debezium 3.7.0, or by Connect itself."""

_KEYS_BY_TABLE = "snapshot.select.statement.overrides."
"""What such a key begins with; a table's name follows."""


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a connector; ``trace`` is the Java stack trace of a FAILED one."""

    id: int
    state: str
    trace: str = ""


class ConnectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` of the connector itself, and its tasks."""

    state: str
    tasks: tuple[TaskStatus, ...]

    @property
    def is_running(self) -> bool:
        """Whether the connector and its one task are RUNNING."""
        return self.state == "RUNNING" and [t.state for t in self.tasks] == ["RUNNING"]

    @property
    def failure(self) -> str:
        """The trace of the first failed task, or an empty text."""
        return next((t.trace for t in self.tasks if t.state == "FAILED"), "")

    def __str__(self) -> str:
        tasks = ", ".join(f"task {t.id} {t.state}" for t in self.tasks) or "no task"
        return f"connector {self.state}, {tasks}"


class _ConnectorState(msgspec.Struct):
    state: str


class _Answer(msgspec.Struct):
    connector: _ConnectorState
    tasks: tuple[TaskStatus, ...]


class ConnectClient:
    """Talks to one Connect worker at ``url``. Calls raise HarnessFailed with what Connect answered."""

    def __init__(self, url: str) -> None:
        self.url = url

    def register(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector or replace its configuration; raises UnknownName for a typo."""
        for key in config:
            if key not in KNOWN_KEYS and not key.startswith(_KEYS_BY_TABLE):
                raise UnknownName("connector setting", key, sorted(KNOWN_KEYS))
        self._call("PUT", f"/connectors/{name}/config", dict(config))

    def status(self, name: str) -> ConnectorStatus:
        """Return the state of a connector and of its tasks."""
        return _decode(self._call("GET", f"/connectors/{name}/status"))

    def expect_running(self, name: str) -> None:
        """Probe: connector and task are RUNNING; raises HarnessFailed as soon as the task failed."""
        answer = rest.get(f"{self.url}/connectors/{name}/status")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotYet("no status yet")
        status = _decode(answer)
        if status.failure:
            raise HarnessFailed(f"the task of connector {name} failed:\n{status.failure[:2000]}")
        if not status.is_running:
            raise NotYet(str(status))

    def expect_stopped(self, name: str) -> None:
        """Probe: the connector is STOPPED and has no task left."""
        status = self.status(name)
        if status.state != "STOPPED" or status.tasks:
            raise NotYet(str(status))

    def restart_task(self, name: str, task: int = 0) -> None:
        """Start a failed task again."""
        self._call("POST", f"/connectors/{name}/tasks/{task}/restart")

    def restart(self, name: str) -> None:
        """Restart the connector and its task, whatever their states."""
        self._call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=false")

    def pause(self, name: str) -> None:
        """Ask the connector to pause; its task keeps its slot and its connection."""
        self._call("PUT", f"/connectors/{name}/pause")

    def resume(self, name: str) -> None:
        """Ask a paused or stopped connector to go on."""
        self._call("PUT", f"/connectors/{name}/resume")

    def stop(self, name: str) -> None:
        """Ask the connector to stop; its task ends and lets the slot go."""
        self._call("PUT", f"/connectors/{name}/stop")

    def forget_offsets(self, name: str) -> None:
        """Make a stopped connector forget where it was, so that it snapshots anew."""
        self._call("DELETE", f"/connectors/{name}/offsets")

    def offsets(self, name: str) -> list[object]:
        """Return where a connector was, as Connect stores it; an empty list when it stores nothing."""
        found = msgspec.json.decode(self._call("GET", f"/connectors/{name}/offsets").content)
        return list(found["offsets"])

    def delete(self, name: str) -> None:
        """Remove the connector."""
        self._call("DELETE", f"/connectors/{name}")

    def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        def attempt() -> httpx.Response:
            answer = rest.send(method, f"{self.url}{path}", body, timeout_s=30.0)
            if answer.status_code == httpx.codes.CONFLICT:  # its group is rebalancing
                raise NotYet(answer.text[:500])
            return answer

        answer = wait_for(f"Connect takes {method} {path}", attempt, limit_s=CONFLICT_S_MAX)
        if answer.is_error:
            raise HarnessFailed(
                f"Connect answered {answer.status_code} to {method} {path}: {answer.text[:500]}"
            )
        return answer


def _decode(answer: httpx.Response) -> ConnectorStatus:
    found = msgspec.json.decode(answer.content, type=_Answer)
    return ConnectorStatus(state=found.connector.state, tasks=found.tasks)
