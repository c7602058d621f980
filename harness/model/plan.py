"""A plan: one JSON value that decides everything random before anything starts.

``generate`` draws plans and writes the expansion into them; whoever performs a plan draws nothing. A
plan read from a file is checked here field by field (types, ranges, names of other parts of the plan),
so that a wrong one is refused with one sentence before any service starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from harness.model.attacks import Attack
from harness.model.envelope import PROMISED, Envelope
from harness.model.errors import BadInput
from harness.model.faults import Fault
from harness.model.operations import Transaction
from harness.model.watermarks import WatermarkCheck

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Survivors = Literal["all", "standby", "archive"]
Mode = Literal["mark", "permanent", "blank", "truncate", "move", "drop", "detach", "purge"]


class TenantPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tenant: its ``initial`` load, its ``writers`` and what it writes when it is back.

    ``writers``: for each writer its transactions in order; those of the write phase first, then a tail,
    at a slower pace, that lasts to the end of the drill. ``write_count`` says how many of each writer's
    transactions belong to the write phase. ``quiet``: one streamed write, then silence until the incident.
    ``probe``: transactions that must work after a restore in place, one for each restore, in order.
    ``takes``: what it writes once the first script is through: it takes what others' rows left free.
    """

    tenant: str
    birth: Count = 1
    quiet: bool = False
    initial: tuple[Transaction, ...]
    writers: tuple[tuple[Transaction, ...], ...]
    write_counts: tuple[Count, ...]
    probes: tuple[Transaction, ...] = ()
    takes: tuple[Transaction, ...] = ()


class Effect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a script transaction does to one tenant.

    ``permanent`` removes from ``tables`` the rows with ``keys`` (None: every row of the tenant there).
    ``mark`` sets ``mark_column`` of those rows, ``blank`` sets ``columns`` of them to NULL. ``move`` gives
    the tenant's rows in ``tables`` to tenant ``to``, adding to the numbers in ``shifted`` columns (table,
    column, by how much); rows of the tables ``along`` find their tenant through those, and go with them.
    ``purge`` empties ``tables`` of the tenant if a row of the last of them still bears ``mark_column``.
    What follows is said once for each tenant, touches those with rows there, and leaves no event of a row:
    ``truncate`` empties ``tables``, ``drop`` removes them too, ``detach`` removes partition ``leaf``
    (counted from 0 by name), of which only the database knows whose rows it holds.
    """

    tenant: str
    mode: Mode
    tables: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...] | None = None
    mark_column: str | None = None
    columns: tuple[str, ...] = ()
    to: str | None = None
    along: tuple[str, ...] = ()
    shifted: tuple[tuple[str, str, int], ...] = ()
    leaf: int | None = None

    @property
    def reaches(self) -> tuple[str, ...]:
        """All tables whose rows it changes or takes from the tenant."""
        return (*self.tables, *self.along)

    @property
    def removes(self) -> bool:
        """Whether rows go, rather than change."""
        return self.mode in ("permanent", "truncate", "purge", "drop", "detach")

    @property
    def reshapes(self) -> bool:
        """Whether the catalogue is another one afterwards."""
        return self.mode in ("drop", "detach")

    @property
    def whole(self) -> bool:
        """Whether this removes the tenant, rather than some of its rows or a mark."""
        return self.mode == "permanent" and self.keys is None


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SQL as the operator's script sends it; values are literals in the text."""

    sql: str


class ScriptTransaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One transaction of a script: what was ``intended``, what ``actual`` SQL and effects are.

    ``pause_s`` before it begins. ``killed``: the operator's session is broken off before COMMIT is sent.
    ``unchecked``: neither foreign keys nor triggers see what it does. ``operator``: whose session it is;
    several work side by side, each through its own transactions in order. ``during``: in which phase;
    with ``restore`` beside the restores of the first round, where those are made in place. ``empties``:
    lookup tables that it empties; what refers to their rows goes with them, which the effects say.
    """

    name: str
    statements: tuple[Statement, ...]
    intended: tuple[Effect, ...]
    actual: tuple[Effect, ...]
    pause_s: Seconds = 0.0
    killed: bool = False
    unchecked: bool = False
    operator: Count = 0
    during: Literal["script", "restore"] = "script"
    empties: tuple[str, ...] = ()

    @property
    def damaged(self) -> tuple[str, ...]:
        """Tenants with an actual effect beyond the intended ones, in the order of the effects."""
        beyond = (effect.tenant for effect in self.actual if effect not in self.intended)
        return tuple(dict.fromkeys(beyond))

    @property
    def rightly_deleted(self) -> tuple[str, ...]:
        """Tenants that are removed as intended."""
        return tuple(e.tenant for e in self.actual if e.whole and e in self.intended)


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A delete script: ``kind`` names the step it was drawn from, ``words`` says it to a person."""

    kind: str
    words: str
    transactions: tuple[ScriptTransaction, ...]
    damages_nobody: bool = False


class Floors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must have happened before a drill may prove anything."""

    transactions_per_tenant: Count = 20
    older_than_budget: Count = 5
    younger_than_budget: Count = 5
    rows_per_s: Seconds = 200.0


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Upper bounds, in seconds, on the waits of a drill.

    ``floors_s``: how much longer the write phase may take until floors are reached.
    """

    load_s: Seconds = 120.0
    capture_s: Seconds = 60.0
    script_s: Seconds = 120.0
    restore_s: Seconds = 60.0
    floors_s: Seconds = 60.0
    settle_s: Seconds = 60.0
    rebuild_s: Seconds = 90.0


class SwitchOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The primary is killed ``after_s`` after the one before was over, its standby promoted.

    ``fenced``: cut off from its clients before. ``by``: how it comes back, as the standby.
    """

    after_s: Seconds
    fenced: bool = False
    by: Literal["base backup", "rewind"] = "base backup"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one drill.

    ``switchovers``: one after the other, under the first writes. ``write_s``: length of the write phase
    before the script starts. ``destroy_after_s``: with survivors ``archive`` or ``standby``, how long after
    the first damaging COMMIT was sent what does not survive is killed. ``fenced``: the primary that is
    killed for good was cut off from its clients before.
    ``script_goes_on``: its operators send again, to the promoted standby, what is not committed by then.
    ``initial``: ``snapshot`` when the tenants are loaded before the connector's first start.
    ``scripts``: the first is the incident; a second one damages ``again`` after they were restored.
    ``witnessed``: tenants of whom a second witness is heard, a physical restore to the cut of theirs.
    ``witness_needed``: where there can be none, the drill is *unknown*, and not just judged without.
    ``recovery_s``: allowance after the longest outage. ``promise_s``: what is promised (300 s unless
    stated); ``budget_s``: what this drill demands. ``envelope``: under which faults and survivors.
    """

    format: Literal[1] = 1
    seed: Count
    profile: str
    schema: str
    survivors: Survivors
    budget_s: Annotated[float, msgspec.Meta(gt=0)]
    promise_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    recovery_s: Seconds = 30.0
    switchovers: tuple[SwitchOver, ...] = ()
    write_s: Seconds
    destroy_after_s: Seconds = 0.0
    fenced: bool = False
    script_goes_on: bool = False
    initial: Literal["snapshot", "streamed"] = "streamed"
    tenants: tuple[TenantPlan, ...]
    shared: tuple[Transaction, ...] = ()
    scripts: tuple[Script, ...]
    again: tuple[str, ...] = ()
    attacks: tuple[Attack, ...] = ()
    watermark_checks: tuple[WatermarkCheck, ...] = ()
    witnessed: tuple[str, ...] = ()
    witness_needed: bool = True
    faults: tuple[Fault, ...] = ()
    envelope: Envelope = PROMISED
    floors: Floors = Floors()
    limits: Limits = Limits()

    def __repr__(self) -> str:
        """Say which plan it is; its megabytes of operations are in its file."""
        words = "; ".join(script.words for script in self.scripts)
        return (
            f"<Plan {self.profile} on {self.schema}, seed {self.seed}, {len(self.tenants)} tenants, "
            f"survivors {self.survivors}, budget {self.budget_s:g} s: {words}>"
        )

    @property
    def outside(self) -> tuple[str, ...]:
        """Why the plan lies outside its envelope, in words; empty when it lies inside."""
        return tuple(self.envelope.reasons(self.survivors, self.faults))

    def tenant(self, tenant: str) -> TenantPlan:
        """Return the plan of one tenant; raises KeyError."""
        for candidate in self.tenants:
            if candidate.tenant == tenant:
                return candidate
        raise KeyError(tenant)


def encode(plan: Plan) -> bytes:
    """Return the plan as JSON: fields of plan, tenants and scripts each on a line, and each transaction."""
    return _fields(plan, {"tenants": _tenant, "scripts": _script, "shared": _encoder.encode}) + b"\n"


_encoder = msgspec.json.Encoder()


def _fields(value: msgspec.Struct, items: Mapping[str, Callable[[Any], bytes]]) -> bytes:
    """One field a line; those in ``items`` are sequences, with each item on a line of its own."""
    lines = [
        _encoder.encode(name)
        + b": "
        + (
            _lines(getattr(value, name), items[name])
            if name in items
            else _encoder.encode(getattr(value, name))
        )
        for name in value.__struct_fields__
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}"


def _lines(items: Iterable[Any], encode_item: Callable[[Any], bytes]) -> bytes:
    lines = [encode_item(item) for item in items]
    return b"[\n" + b",\n".join(lines) + b"\n]" if lines else b"[]"


def _tenant(tenant: TenantPlan) -> bytes:
    one = _encoder.encode
    return _fields(
        tenant, {"initial": one, "writers": lambda w: _lines(w, one), "probes": one, "takes": one}
    )


def _script(script: Script) -> bytes:
    return _fields(script, {"transactions": lambda t: msgspec.json.format(_encoder.encode(t), indent=1)})


def decode(data: bytes, *, source: str = "the plan") -> Plan:
    """Read a plan; raises BadInput naming ``source``, the field, and what was expected there."""
    return decode_as(Plan, data, source)


P = TypeVar("P", bound=Plan)


def decode_as(kind: type[P], data: bytes | memoryview, source: str) -> P:
    """Read a plan as that kind of plan; raises BadInput as ``decode`` does."""
    try:
        plan = msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise BadInput(
            f"{source}: {error}",
            cure="mend that field, or draw a new plan with `restoreproof drill`",
        ) from None
    _check(plan, source)
    return plan


def _check(plan: Plan, source: str) -> None:
    """Check what types can't say: names that must agree, numbers that must go together."""
    names = [t.tenant for t in plan.tenants]
    known = set(names)
    problems = [
        (not plan.tenants, "has no tenants"),
        (len(known) != len(names), "names a tenant twice"),
        (not plan.scripts, "has no script"),
        (
            not set(plan.again) <= known,
            f"restores unknown tenants again: {set(plan.again) - known}",
        ),
        (
            not {t for check in plan.watermark_checks for t in check.tenants} <= known,
            "checks a watermark by a tenant that it does not hold",
        ),
        (
            not set(plan.witnessed) <= known,
            f"hears a witness of unknown tenants: {set(plan.witnessed) - known}",
        ),
        (
            plan.witnessed and plan.survivors == "archive",
            "hears a witness, which nothing but the archive survives",
        ),
        (plan.budget_s > plan.promise_s, "demands less than it promises: budget_s > promise_s"),
        (
            any(len(t.writers) != len(t.write_counts) for t in plan.tenants),
            "has a tenant whose write_counts do not match its writers",
        ),
    ]
    for wrong, text in problems:
        if wrong:
            raise BadInput(f"{source} {text}", cure="mend it, or draw a new plan")
    _check_effects(plan, known, source)


def _check_effects(plan: Plan, known: set[str], source: str) -> None:
    for script in plan.scripts:
        for transaction in script.transactions:
            for effect in (*transaction.intended, *transaction.actual):
                stranger = next((t for t in (effect.tenant, effect.to) if t and t not in known), None)
                if stranger is not None:
                    raise BadInput(
                        f"{source}: {transaction.name} touches tenant {stranger!r}, "
                        "which the plan does not hold",
                        cure="mend its effects, or draw a new plan",
                    )
