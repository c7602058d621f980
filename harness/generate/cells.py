"""The values of one tenant's rows: what is unique, what may be anything, what a change must bring.

Every generated number is used once for a tenant, so that no row ever returns to an image it had. Values
that must be unique over all tenants hold the tenant's id, or a number from a range of its own.
"""

from __future__ import annotations

from random import Random

from harness.generate.facts import SchemaFacts, TableFacts
from harness.model.errors import BadInput
from harness.model.operations import Filler, Values
from harness.model.schema import Column

STRIDE = 1_000_000
"""Numbers a tenant may use in columns that are unique over all tenants."""

ENTITY_FLOOR = 1_000_000_000
"""Where ids begin that writers give to entities of their own: above all that the control plane gave."""

NULL_SHARE = 0.2
SPECIAL_SHARE = 0.08
FILLED_SHARE = 0.02


class Cells:
    """Makes values for the tenant number ``index`` (-1: the shared rows).

    ``giants``: sizes in characters of very long texts still to be placed. ``given_ids``: by table and
    column the ids that the control plane gave this tenant, in order.
    """

    def __init__(self, facts: SchemaFacts, tenant: str, index: int, rng: Random) -> None:
        self.giants: list[int] = []
        self.given_ids: dict[tuple[str, str], list[str]] = {}
        self._facts = facts
        self._tenant = tenant
        self._index = index
        self._rng = rng
        self._number = 0

    def of_insert(self, table: TableFacts, *, defaults: bool) -> Values:
        """Return values of all columns but links; ``defaults``: some of those with a default too."""
        values: Values = {c.name: self.unique(table, c) for c in table.unique_columns}
        for column in table.plain_columns:
            if column.given_by == "client" or (defaults and self._rng.random() < 0.5):
                values[column.name] = self._any(table, column)
        for name in table.marks:
            if name is not None and table.table.column(name).nullable:
                values[name] = None  # marking is for scripts
        return values

    def of_update(self, table: TableFacts, spare: frozenset[str]) -> Values:
        """Return new values of one to three columns, one never had before; none where that can't be.

        ``spare``: columns to be left as they are.
        """
        free = [column for column in table.updatable if column.name not in spare]
        wide = [column for column in free if column in table.wide]
        if not wide:
            return {}
        values: Values = {}
        for column in self._rng.sample(free, k=min(len(free), self._rng.randrange(3))):
            is_unique = column in table.unique_columns
            values[column.name] = self.unique(table, column) if is_unique else self._any(table, column)
        first = self._rng.choice(wide)
        if first in table.unique_columns:
            values[first.name] = self.unique(table, first)
        else:
            values[first.name] = table.makers[first.name].fresh(self._rng, self._next())
        return values

    def unique(self, table: TableFacts, column: Column) -> str:
        """Return a value that no other row of any tenant has; raises BadInput for a type too small."""
        ids = self.given_ids.get((table.name, column.name))
        if ids:
            return ids.pop(0)
        made = table.makers[column.name]
        if not made.wide:
            raise BadInput(
                f"{table.name}.{column.name} must be unique, and {column.type} has too few values",
                cure="let the database give its value",
            )
        number = self._next()
        if self._facts.base_type(column) in ("text", "character varying"):
            return f"{self._rng.choice('abcdefgh')}-{self._tenant}-{number}"
        if column.name not in table.narrow:
            number += (self._index + 1) * STRIDE + (ENTITY_FLOOR if ids is not None else 0)
        return made.fresh(self._rng, number)

    def fill(self, table: TableFacts, values: Values, wanted: bool | None) -> frozenset[str]:
        """Put a long text in one of ``values`` (now and then, if ``wanted`` is None); return where."""
        if wanted is None:
            wanted = self._rng.random() < FILLED_SHARE
        choices = [(column, form) for column, form in table.fillable if column in values]
        if not wanted or not choices:
            return frozenset()
        column, form = self._rng.choice(choices)
        chars = self.giants.pop() if self.giants else self._size()
        values[column] = Filler(seed=self._rng.getrandbits(31), chars=chars, form=form)
        return frozenset({column})

    def _size(self) -> int:
        """Mostly some KB, enough to be stored out of line; now and then much more."""
        return int(3_000 * 4 ** self._rng.uniform(0, 1 if self._rng.random() < 0.9 else 3))

    def _any(self, table: TableFacts, column: Column) -> str | None:
        if column.nullable and self._rng.random() < NULL_SHARE:
            return None
        made = table.makers[column.name]
        if made.special and self._rng.random() < SPECIAL_SHARE:
            return made.special[int(self._rng.random() * len(made.special))]
        return made.fresh(self._rng, self._next())

    def _next(self) -> int:
        self._number += 1
        return self._number
