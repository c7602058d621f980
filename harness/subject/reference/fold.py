"""From a tenant's archived parts to its rows at a cut: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.model.history import Cut
from harness.model.position import Position
from harness.model.values import RawRow
from harness.subject.reference.format import Global, ManifestEntry, Part, RowChange, SchemaRef, old_row

XID_MASK = 0xFFFF_FFFF
"""The feed gives 32 bits of a transaction id; callers may know 64."""

State = dict[str, dict[tuple[str | None, ...], RawRow]]
"""Per table the rows by key."""

Keeps = Callable[[Position], bool]
"""Whether a transaction at this position is in the restored state."""


def keeps_until(cut: Cut, parts: Iterable[Part], globals_: Iterable[Global]) -> Keeps:
    """Return which transactions lie before ``cut``, given what the archive has of the tenant.

    Just before transaction ``xid`` if it is there; else, and without an xid, up to the lower bound, that
    included; without any bound everything.
    """
    if not cut.epoch:
        return lambda _: True
    lower = Position(epoch=cut.epoch, lsn=cut.lsn_lower)
    found: list[Part | Global] = [*parts, *globals_]
    damage = [
        part.position
        for part in found
        if cut.xid and part.xid == cut.xid & XID_MASK and _in_bounds(part.position, cut)
    ]
    if damage:
        first = min(damage)
        return lambda position: position < first
    if cut.lsn_lower:
        return lambda position: position <= lower
    return lambda position: position.epoch <= cut.epoch


def _in_bounds(position: Position, cut: Cut) -> bool:
    upper = cut.lsn_upper or position.lsn
    return position.epoch == cut.epoch and cut.lsn_lower < position.lsn <= upper


def fold(
    parts: Sequence[Part],
    globals_: Sequence[Global],
    *,
    keys: Mapping[str, tuple[str, ...]],
    keeps: Keeps,
) -> State:
    """Replay what ``keeps`` admits, in commit order; ``keys`` gives each table's key columns."""
    state: State = {table: {} for table in keys}
    steps = [*_part_steps(parts), *_global_steps(globals_)]
    for position, _, step in sorted(steps, key=lambda s: s[:2]):
        if keeps(position):
            _apply(state, step, keys)
    return state


def schema_at(entries: Sequence[ManifestEntry], keeps: Keeps) -> SchemaRef:
    """Return the schema in force after all that ``keeps`` admits, as far as it could be archived.

    ``entries``: at least one. The first one's own schema may be newer than what it began with, which its
    snapshot names.
    """
    schema = entries[0].db_schema
    for entry in entries:
        for found in entry.globals:
            if found.schema is not None and keeps(found.position):
                schema = found.schema
        if keeps(entry.end):
            schema = entry.db_schema
    return schema


Step = tuple[Position, int, RowChange | Global]


def _part_steps(parts: Sequence[Part]) -> Iterable[Step]:
    for part in parts:
        position = part.position
        yield from ((position, change.order, change) for change in part.changes)


def _global_steps(globals_: Sequence[Global]) -> Iterable[Step]:
    return ((found.position, found.order, found) for found in globals_)


def _apply(state: State, step: RowChange | Global, keys: Mapping[str, tuple[str, ...]]) -> None:
    if isinstance(step, Global):
        _apply_global(state, step)
    elif step.table in keys:
        _apply_change(state[step.table], step, keys[step.table])


def _apply_global(state: State, step: Global) -> None:
    if step.kind == "snapshot":
        for rows in state.values():
            rows.clear()
    elif step.altered is not None:
        rows = state.get(step.table, {})
        rows.update({key: step.altered.row(row) for key, row in rows.items()})
    elif step.kind != "schema":
        state.get(step.table, {}).clear()


def _apply_change(
    rows: dict[tuple[str | None, ...], RawRow], change: RowChange, key: tuple[str, ...]
) -> None:
    before = old_row(change)
    if before is not None:
        rows.pop(_key(before, key), None)
    if change.after is not None:
        rows[_key(change.after, key)] = change.after


def _key(row: RawRow, key: tuple[str, ...]) -> tuple[str | None, ...]:
    return tuple(row[column] for column in key)
