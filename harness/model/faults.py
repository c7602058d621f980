"""Faults as values, and what is known of each kind: one struct and one line in ``KINDS``.

A fault strikes ``after_s`` into its ``phase`` and is healed ``down_s`` later. Most kinds have a target, a
service or a link; what is then blocked, and which stages of the pipeline it touches, follows from the
target, so that ``TARGETS`` says it once for all kinds. A fault's *name* is its kind and its
target, ``kill archiver``: plans are stratified by names, and a host refuses by name what it can't do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, get_args

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]

FaultPhase = Literal["write", "script", "restore"]
"""The phase from whose beginning ``after_s`` counts."""

Service = Literal["archiver", "connect", "kafka", "minio", "primary", "standby", "restorer"]
LinkName = Literal[
    "standby-primary",
    "connect-primary",
    "clients-primary",
    "restorer-primary",
    "archiver-primary",
    "connect-kafka",
    "archiver-kafka",
    "archiver-minio",
    "restorer-minio",
]
"""The links that a fault can cut, each the client's name and the server's."""

Direction = Literal["both", "up", "down"]
"""Which way nothing comes through: ``up`` towards the server, ``down`` back to the client."""

Blocked = Literal["commits", "capture", "archive", "restores"]
Stage = Literal["ack", "WAL", "standby", "slot", "Connect", "Kafka", "archiver", "bucket", "restore"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages of the pipeline, in the order in which a write passes them."""


class _Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What every fault has; see the module."""

    phase: FaultPhase
    after_s: Seconds
    down_s: Seconds


class _OnService(_Fault, frozen=True, kw_only=True):
    """A fault of one service."""

    service: Service


class _OnLink(_Fault, frozen=True, kw_only=True):
    """A fault of one link."""

    link: LinkName


class Kill(_OnService, frozen=True, kw_only=True, tag="kill"):
    """SIGKILL to every process of the service; it is started in place, on its data, ``down_s`` later."""


class Pause(_OnService, frozen=True, kw_only=True, tag="pause"):
    """SIGSTOP to every process of the service; its connections stay open."""


class CutLink(_OnLink, frozen=True, kw_only=True, tag="cut"):
    """Nothing comes through the link any more, in ``direction``; nobody is told."""

    direction: Direction = "both"


class DelayLink(_OnLink, frozen=True, kw_only=True, tag="delay"):
    """Everything takes ``delay_ms`` milliseconds longer, each way."""

    delay_ms: Count = 200


class ResetLink(_OnLink, frozen=True, kw_only=True, tag="reset"):
    """Each connection is reset in mid-answer, once ``answer_bytes`` came back over it."""

    answer_bytes: Count = 300


class SlowStore(_Fault, frozen=True, kw_only=True, tag="slow_store"):
    """The object store takes and gives at most ``rate_kb`` kilobytes a second over each connection."""

    rate_kb: Annotated[int, msgspec.Meta(ge=1)] = 20


class FullStore(_Fault, frozen=True, kw_only=True, tag="full_store"):
    """The object store refuses every write for want of space; reads go on."""


class FullDisk(_Fault, frozen=True, kw_only=True, tag="full_disk"):
    """The filesystem below the service is full."""

    service: Literal["primary", "kafka"]


class ClockJump(_OnService, frozen=True, kw_only=True, tag="clock_jump"):
    """The service comes back from a crash with its wall clock ``jump_s`` seconds off, back if negative.

    Healed by another crash, after which its clock is right.
    """

    jump_s: float = 600.0


class RestartConnector(_Fault, frozen=True, kw_only=True, tag="restart_connector"):
    """The connector and its task are restarted; ``down_s`` is how long nobody looks after them.

    ``times`` in a row, each once it has caught up, as a supervisor does that restarts in a loop: it comes
    back amid other transactions each time (FM-46, FM-47).
    """

    times: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1


class PauseConnector(_Fault, frozen=True, kw_only=True, tag="pause_connector"):
    """The connector is paused; its slot keeps the WAL."""


class LoseOffsets(_Fault, frozen=True, kw_only=True, tag="lose_offsets"):
    """The connector's stored offsets are gone when it comes back: it takes a snapshot by itself (FM-82)."""


class DropSlot(_Fault, frozen=True, kw_only=True, tag="drop_slot"):
    """The connector's replication slot is dropped (FM-27, FM-50)."""


class AdvanceSlot(_Fault, frozen=True, kw_only=True, tag="advance_slot"):
    """The slot is advanced past what the connector has not read (FM-50)."""


class EmptySyncNames(_Fault, frozen=True, kw_only=True, tag="empty_sync_names"):
    """``synchronous_standby_names`` is emptied: commits wait for nobody (FM-18)."""


class CancelCommit(_Fault, frozen=True, kw_only=True, tag="cancel_commit"):
    """A COMMIT that waits for a frozen standby is cancelled: it looks like success (FM-15)."""


class TerminateCommit(_Fault, frozen=True, kw_only=True, tag="terminate_commit"):
    """The session of a COMMIT that waits for a frozen standby is terminated (FM-16)."""


Fault = (
    Kill
    | Pause
    | CutLink
    | DelayLink
    | ResetLink
    | SlowStore
    | FullStore
    | FullDisk
    | ClockJump
    | RestartConnector
    | PauseConnector
    | LoseOffsets
    | DropSlot
    | AdvanceSlot
    | EmptySyncNames
    | CancelCommit
    | TerminateCommit
)
"""A union that grows: each kind of fault is one struct with its own tag."""


class Touches(msgspec.Struct, frozen=True):
    """What is touched when a target is disturbed: which ``stages``, and what is ``blocked`` meanwhile."""

    stages: tuple[Stage, ...]
    blocked: tuple[Blocked, ...]


TARGETS: dict[Service | LinkName, Touches] = {
    "archiver": Touches(("archiver",), ("archive",)),
    "connect": Touches(("Connect",), ("capture",)),
    "kafka": Touches(("Kafka",), ("capture", "archive")),
    "minio": Touches(("bucket",), ("archive", "restores")),
    "primary": Touches(("ack", "WAL"), ("commits", "capture", "archive", "restores")),
    "standby": Touches(("standby",), ("commits", "capture", "restores")),
    "restorer": Touches(("restore",), ("restores",)),
    "standby-primary": Touches(("standby",), ("commits", "capture", "restores")),
    "connect-primary": Touches(("slot",), ("capture",)),
    "clients-primary": Touches(("ack",), ("commits",)),
    "restorer-primary": Touches(("restore",), ("restores",)),
    "archiver-primary": Touches(("archiver",), ("archive",)),
    "connect-kafka": Touches(("Kafka",), ("capture",)),
    "archiver-kafka": Touches(("archiver",), ("archive",)),
    "archiver-minio": Touches(("bucket",), ("archive",)),
    "restorer-minio": Touches(("restore",), ("restores",)),
}
"""Services and links, and what is touched with each."""


class Traits(msgspec.Struct, frozen=True):
    """What is known of one kind. ``weight`` reads as a rate; 0 means only when it is named.

    ``targets``: services or links, of which a fault of this kind has one; () when it has none, and then
    ``touches`` says what its target would. ``down_s``: how long it may last, in tenths of a second in a
    storm. ``in_envelope``: whether the promise is made under it.
    """

    weight: int
    targets: tuple[Service, ...] | tuple[LinkName, ...] = ()
    touches: Touches | None = None
    down_s: tuple[float, float] = (0.5, 4.0)
    in_envelope: bool = True


_SLOT = Touches(("slot", "Connect"), ("capture",))
_STANDBY = Touches(("ack", "standby"), ("commits", "capture", "restores"))
_RUNS: tuple[Service, ...] = ("archiver", "connect", "kafka", "minio", "primary", "standby", "restorer")
_ALL_LINKS: tuple[LinkName, ...] = get_args(LinkName)

KINDS: dict[type[Fault], Traits] = {
    Kill: Traits(6, targets=_RUNS, down_s=(0.2, 3.0)),
    Pause: Traits(4, targets=_RUNS),
    CutLink: Traits(4, targets=_ALL_LINKS),
    DelayLink: Traits(3, targets=_ALL_LINKS),
    ResetLink: Traits(2, targets=_ALL_LINKS),
    SlowStore: Traits(2, touches=Touches(("bucket",), ())),
    FullStore: Traits(2, touches=Touches(("bucket",), ("archive",))),
    FullDisk: Traits(1, targets=("primary", "kafka")),
    ClockJump: Traits(1, targets=("primary", "standby", "kafka", "connect", "archiver", "minio")),
    RestartConnector: Traits(6, touches=_SLOT, down_s=(0.0, 1.0)),
    PauseConnector: Traits(2, touches=_SLOT),
    LoseOffsets: Traits(0, touches=_SLOT, in_envelope=False),
    DropSlot: Traits(0, touches=_SLOT, in_envelope=False),
    AdvanceSlot: Traits(0, touches=_SLOT, in_envelope=False),
    EmptySyncNames: Traits(1, touches=Touches(("ack", "standby"), ())),
    CancelCommit: Traits(2, touches=_STANDBY, down_s=(0.2, 1.5)),
    TerminateCommit: Traits(2, touches=_STANDBY, down_s=(0.2, 1.5)),
}
"""All kinds, and what is known of each."""


def kind_of(fault: Fault) -> str:
    """Return the kind in words, ``cut``."""
    return kind_words(type(fault))


def kind_words(kind: type[Fault]) -> str:
    """Return a kind in words, by its tag."""
    return str(kind.__struct_config__.tag).replace("_", " ")


def target_of(fault: Fault) -> Service | LinkName | None:
    """Return what it strikes at, None when the kind says so already."""
    if isinstance(fault, CutLink | DelayLink | ResetLink):
        return fault.link
    return fault.service if isinstance(fault, Kill | Pause | FullDisk | ClockJump) else None


def name_of(fault: Fault) -> str:
    """Return its name: its kind and target."""
    return " ".join(filter(None, (kind_of(fault), target_of(fault))))


def names(kind: type[Fault]) -> tuple[str, ...]:
    """Return the names that faults of a kind can have."""
    words = kind_words(kind)
    return tuple(f"{words} {target}" for target in KINDS[kind].targets) or (words,)


def stages_of(name: str) -> tuple[Stage, ...]:
    """Return the stages that a fault of that name touches; none for a name that no fault has."""
    kind = next((kind for kind in KINDS if name in names(kind)), None)
    if kind is None:
        return ()
    traits = KINDS[kind]
    if traits.touches is not None:
        return traits.touches.stages
    return next(found.stages for target, found in TARGETS.items() if name == f"{kind_words(kind)} {target}")


def touches(fault: Fault) -> Touches:
    """Return what is touched by it. A delay blocks nothing."""
    target, traits = target_of(fault), KINDS[type(fault)]
    if traits.touches is not None:
        return traits.touches
    found = TARGETS[target] if target else Touches((), ())
    return Touches(found.stages, ()) if isinstance(fault, DelayLink) else found


def blocks(fault: Fault, what: Blocked) -> bool:
    """Whether ``what`` stands still while it bites."""
    return what in touches(fault).blocked


def misplaced(fault: Fault, survivors: str) -> str:
    """Return why a fault can't strike in its phase, or an empty text.

    Restores are judged beside neighbours that write, and by the tenant's next write.
    """
    if fault.phase == "restore" and survivors == "archive":
        return "where only the archive survives, nothing else runs while tenants are restored"
    if target_of(fault) == "restorer" and fault.phase != "restore":
        return "nothing is restored before then"
    if fault.phase == "restore" and blocks(fault, "commits"):
        return "neighbours must write while tenants are restored"
    if survivors == "standby" and {"WAL", "standby"} & set(touches(fault).stages):
        return "who is primary and who standby changes meanwhile"
    return ""


def outlives(fault: Fault) -> bool:
    """Whether what it strikes at is still there when everything but the archive was destroyed.

    Links are: their proxies stay, and what is cut would be cut for the next cluster too.
    """
    return isinstance(fault, CutLink | DelayLink | ResetLink) or set(touches(fault).stages) <= {
        "bucket",
        "restore",
    }


def outage_s(faults: Iterable[Fault], *, apart_s: float = 0.0) -> float:
    """Return the longest time that something may be down: windows that meet count as one outage.

    Windows closer than ``apart_s`` meet. When phases begin is not known beforehand, so the longest outage
    of each phase is added up.
    """
    phases: dict[str, list[Fault]] = {}
    for fault in faults:
        phases.setdefault(fault.phase, []).append(fault)
    return sum(_longest(of, apart_s) for of in phases.values())


def _longest(faults: Sequence[Fault], apart_s: float) -> float:
    longest_s, begin_s, end_s = 0.0, 0.0, float("-inf")
    for fault in sorted(faults, key=lambda fault: fault.after_s):
        if fault.after_s > end_s + apart_s:
            begin_s = fault.after_s
        end_s = max(end_s, fault.after_s + fault.down_s)
        longest_s = max(longest_s, end_s - begin_s)
    return longest_s
