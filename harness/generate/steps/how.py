"""How a script goes about it: with which means, in which batches, slowly or not, killed or not.

A step says only *what* is due, as orders; here they become transactions. The dimensions are independent,
so a step stays a short file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from harness.generate.shapes import HowShape, Means
from harness.generate.steps import moves, partial, reshaped, sql
from harness.generate.steps.ground import Ground, row_effect
from harness.model.plan import Effect, Mode, ScriptTransaction, Statement

SLOW_S = 3.0
"""How long a slow script takes, about; a pause is never longer than SLOW_PAUSE_S."""
SLOW_PAUSE_S = 0.8


CHANGES: Mapping[Mode, partial.Change] = {
    **partial.CHANGES,
    "drop": reshaped.drop,
    "detach": reshaped.detach,
}
NUMBERS = ("bigint", "integer", "numeric")
"""Types of tenant columns that sort as numbers."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Do ``mode`` to ``name`` (a tenant, or an entity's id for means ``function``), as ``intended``.

    ``intended`` is in terms of the means given; empty when nothing was meant for it. ``tables``: only
    those, where that is the step's choice (for ``truncate`` and ``drop`` they are what counts, ``name`` is
    the first; for ``detach`` it is the partition's number). ``to``: the tenant that gets the rows of
    ``name`` (for ``move``).
    """

    name: str
    mode: Mode
    intended: tuple[Effect, ...] = ()
    tables: tuple[str, ...] = ()
    to: str | None = None


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """What is special about how a step goes about it, beside the dimensions that are drawn.

    ``as_range``: the tenants of one statement are given as a range rather than a list. ``canary``: so many
    orders go first, in a transaction of their own. ``unchecked``: foreign keys and triggers are switched
    off. ``operator``: whose work it is; only the first operator begins at once. ``wait_s``: how long after
    its first transaction that is not killed a script goes on, however it is batched.
    """

    as_range: bool = False
    canary: int = 0
    wait_s: float = 0.0
    unchecked: bool = False
    operator: int = 0


PLAIN = Manner()
"""Nothing special."""


def perform(
    ground: Ground, due: Sequence[Order], how: HowShape, *, prefix: str, manner: Manner = PLAIN
) -> tuple[ScriptTransaction, ...]:
    """Return the transactions that carry out what is ``due``, with their exact effects."""
    passes = _passes(due, how, manner)
    pauses_s = _pauses_s([killed for _, killed in passes], how, manner)
    transactions = []
    for number, (group, killed) in enumerate(passes):
        statements, actual = _carry_out(ground, group, how, as_range=manner.as_range)
        if not killed:
            ground.settle(actual)
        if manner.unchecked:
            statements = [sql.UNCHECKED, *statements]
        transactions.append(
            ScriptTransaction(
                name=f"{prefix}.{number}",
                statements=tuple(Statement(sql=text) for text in statements),
                intended=_merged(effect for order in group for effect in order.intended),
                actual=actual,
                pause_s=pauses_s[number],
                killed=killed,
                unchecked=manner.unchecked,
                operator=manner.operator,
                empties=tuple(o.name for o in group if o.name in _lookups(ground)),
            )
        )
    return tuple(transactions)


def _pauses_s(killed: Sequence[bool], how: HowShape, manner: Manner) -> list[float]:
    """Return the pause before each transaction."""
    pauses_s = [_pause_s(how, len(killed))] * len(killed)
    if not manner.operator:
        pauses_s[0] = 0.0
    if manner.wait_s:
        pauses_s[killed.index(False) + 1] = manner.wait_s
    return pauses_s


def _passes(due: Sequence[Order], how: HowShape, manner: Manner) -> list[tuple[Sequence[Order], bool]]:
    """Return the orders of each transaction in turn, and whether it is killed."""
    canary = [due[: manner.canary]] if manner.canary else []
    groups = [*canary, *_groups(due[manner.canary :], how)]
    passes = [(group, False) for group in groups]
    if how.killed_after is None:
        return passes
    cut = how.killed_after % len(groups)
    return [*((group, place == cut) for place, group in enumerate(groups[: cut + 1])), *passes]


def whole_effect(ground: Ground, tenant: str, how: HowShape) -> Effect:
    """Return what removing a tenant by these means removes."""
    if how.means == "cascade" or how.control_plane:
        return ground.whole(tenant)
    return ground.whole(tenant, keeps=_kept(ground) if how.means == "function" else (ground.facts.root,))


def mark_effects(ground: Ground, tenant: str) -> tuple[Effect, ...]:
    """Return what marking a tenant marks: the rows of its entity."""
    entity = ground.entity("tenant")
    if entity is None:
        return ()
    return tuple(row_effect(entity, tenant, number, "mark") for number in ground.ids(entity, tenant))


def orders(
    ground: Ground, tenants: Sequence[str], how: HowShape, *, intended: Mode | None, actual: Mode
) -> list[Order]:
    """Return orders that do ``actual`` to these tenants where ``intended`` (None: nothing) was meant."""
    found = []
    for tenant in tenants:
        meant: tuple[Effect, ...] = ()
        if intended is not None:
            meant = (
                mark_effects(ground, tenant) if intended == "mark" else (whole_effect(ground, tenant, how),)
            )
        found += [Order(name=name, mode=actual, intended=meant) for name in _names(ground, tenant, how)]
    return found


def _names(ground: Ground, tenant: str, how: HowShape) -> tuple[str, ...]:
    if how.means != "function":
        return (tenant,)
    entity = ground.entity("tenant")
    assert entity is not None  # this means is drawn only where there is one
    return ground.ids(entity, tenant)


def means_words(means: Means) -> str:
    """Say the means to a person."""
    return {"function": "by the delete function", "cascade": "by cascade", "tables": "table by table"}[
        means
    ]


def how_words(how: HowShape) -> str:
    """Say to a person how a script goes about it."""
    batching = {
        "one_each": "one transaction per id",
        "batches": f"batches of {how.batch}",
        "one_huge": "one transaction",
        "slow": "slowly, one id after another",
    }[how.batching]
    words = [means_words(how.means), batching]
    words += ["control plane too"] if how.control_plane or how.means == "cascade" else []
    words += ["killed midway and run again"] if how.killed_after is not None else []
    return ", ".join(words)


def _pause_s(how: HowShape, transactions: int) -> float:
    if how.batching != "slow":
        return 0.0
    if how.lasts_s is not None:
        return round(how.lasts_s / transactions, 3)
    return min(SLOW_PAUSE_S, round(SLOW_S / transactions, 3))


def _groups(orders: Sequence[Order], how: HowShape) -> list[Sequence[Order]]:
    size = {"one_huge": len(orders), "batches": max(1, how.batch)}.get(how.batching, 1)
    return [orders[at : at + size] for at in range(0, len(orders), size)]


def _carry_out(
    ground: Ground, group: Sequence[Order], how: HowShape, *, as_range: bool
) -> tuple[list[str], tuple[Effect, ...]]:
    """Return statements and effects of one transaction; ``ground`` stays as it is."""
    if how.means == "function":
        return _by_function(ground.copy(), group, how)
    statements: list[str] = []
    effects: list[Effect] = []
    for order in group:
        if order.mode == "move":
            said, done = moves.move(ground, order.name, order.to, order.tables)
        elif order.name in _lookups(ground):
            said, done = partial.empty(ground, order.name, order.tables)
        else:
            continue
        statements += said
        effects += done
    others = [order for order in group if order.mode != "move" and order.name not in _lookups(ground)]
    for mode, tables in dict.fromkeys((order.mode, order.tables) for order in others):
        names = [order.name for order in group if (order.mode, order.tables) == (mode, tables)]
        if mode == "mark":
            statements += _marks(ground, names)
            effects += [effect for tenant in names for effect in mark_effects(ground, tenant)]
        elif tables:
            said, done = CHANGES[mode](ground, names, tables)
            statements += said
            effects += done
        else:
            statements += _deletes(ground, names, how, as_range=as_range)
            effects += [whole_effect(ground, tenant, how) for tenant in names]
    return statements, _merged(effects)


def _lookups(ground: Ground) -> set[str]:
    return {table.name for table in ground.schema.shared}


def _by_function(
    ground: Ground, group: Sequence[Order], how: HowShape
) -> tuple[list[str], tuple[Effect, ...]]:
    """Work through the ids one by one: what one of them removes, the next no longer finds."""
    function = ground.schema.script.function
    assert function is not None  # steps draw this means only where there is one
    effects: list[Effect] = []
    calls = []
    for mode in dict.fromkeys(order.mode for order in group):
        ids = [order.name for order in group if order.mode == mode]
        calls.append(sql.call(function, ids, mode))
        for number in ids:
            found = [effect for effect in (ground.effect_of_id(number, mode),) if effect]
            ground.settle(found)
            effects += found
    tenants = list(dict.fromkeys(effect.tenant for effect in effects if effect.whole))
    after: list[str] = []
    if how.control_plane and tenants:
        kept = _kept(ground)
        after = sql.delete_tables(ground.facts, kept, sql.listed(tenants), locks=False)
        effects = [ground.whole(effect.tenant) if effect.whole else effect for effect in effects]
    return [*sql.lock_root(ground.facts, tenants), *calls, *after], _merged(effects)


def _kept(ground: Ground) -> tuple[str, ...]:
    entity = ground.entity("tenant")
    return entity.keeps if entity else ()


def _marks(ground: Ground, tenants: Sequence[str]) -> list[str]:
    entity = ground.entity("tenant")
    assert entity is not None  # steps mark only where there is such an entity
    ids = [number for tenant in tenants for number in ground.ids(entity, tenant)]
    return [sql.mark(entity, ids)] if ids else []


def _deletes(ground: Ground, tenants: Sequence[str], how: HowShape, *, as_range: bool) -> list[str]:
    where = sql.listed(tenants)
    if as_range:
        is_text = ground.facts.root_column.type not in NUMBERS
        where = sql.between(tenants[0], tenants[-1], is_text=is_text)
    if how.means == "cascade":
        return sql.delete_root(ground.facts, where)
    return sql.delete_tables(ground.facts, whole_effect(ground, tenants[0], how).tables, where)


def _merged(effects: Iterable[Effect]) -> tuple[Effect, ...]:
    """Leave out what is said twice."""
    seen: list[Effect] = []
    for effect in effects:
        if effect not in seen:
            seen.append(effect)
    return tuple(seen)
