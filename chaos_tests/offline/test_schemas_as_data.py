"""Schemas as data: the reference ones agree with themselves, and a wrong one is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import BadInput, UnknownName
from harness.schemas import decode, load, names

GOOD = """
name = "mine"

[script]
root = "mine.customer"
entities = [{ name = "order", table = "mine.order", column = "id", scope = "row", mark_column = "gone" }]

[[tables]]
name = "mine.customer"
tenancy = { kind = "column", column = "id" }
key = ["id"]
columns = [{ name = "id", type = "bigint" }, { name = "boss", type = "bigint", nullable = true }]
foreign_keys = [{ columns = ["boss"], parent = "mine.customer", parent_columns = ["id"] }]

[[tables]]
name = "mine.order"
tenancy = { kind = "path", columns = ["customer"] }
key = ["id"]
columns = [
  { name = "id", type = "bigint", given_by = "identity" },
  { name = "customer", type = "bigint" },
  { name = "gone", type = "timestamp with time zone", nullable = true },
]
foreign_keys = [{ columns = ["customer"], parent = "mine.customer", parent_columns = ["id"] }]

[hints."mine.order"]
update = ["gone"]
move = ["customer"]
"""

WRONG = {
    'tenancy = { kind = "path", columns = ["customer"] }\n': ("", "mine.order has no tenancy"),
    'kind = "column"': ('kind = "colum"', "Invalid value 'colum'"),
    'type = "bigint", nullable = true': ('typ = "bigint"', "unknown field `typ`|required field `type`"),
    '{ name = "customer", type = "bigint" }': (
        '{ name = "customer", type = "bigint", nullable = true }',
        r"nullable.*ALTER TABLE mine.order ALTER COLUMN customer SET NOT NULL;",
    ),
    'parent = "mine.customer", parent_columns = ["id"] }]\n\n[hints': (
        'parent = "mine.nobody", parent_columns = ["id"] }]\n\n[hints',
        "refers to unknown table mine.nobody",
    ),
    'columns = ["boss"]': ('columns = ["chief"]', "names columns it lacks"),
    'parent_columns = ["id"] }]\n\n[[tables]]': (
        'parent_columns = ["number"] }]\n\n[[tables]]',
        "names columns that mine.customer lacks",
    ),
    'parent_columns = ["id"] }]\n\n[hints': (
        'parent_columns = ["id", "boss"] }]\n\n[hints',
        "another number of columns",
    ),
    'key = ["id"]\ncolumns = [{': ('key = ["number"]\ncolumns = [{', "names a column 'number' it lacks"),
    'key = ["id"]\ncolumns = [\n': ("key = []\ncolumns = [\n", "table mine.order has no key"),
    'root = "mine.customer"': ('root = "mine.order"', "script root mine.order has no tenant column"),
    'table = "mine.order"': ('table = "mine.orders"', "names what is not in table mine.orders"),
    '[hints."mine.order"]': ('[hints."mine.orders"]', "hints name unknown table mine.orders"),
    'update = ["gone"]': ('update = ["went"]', "name a column 'went' it lacks"),
    'move = ["customer"]': ('move = ["gone"]', "hints move mine.order.gone, which begins no foreign key"),
    'name = "mine.order"\n': ('name = "mine.customer"\n', "table mine.customer is declared twice"),
    '{ name = "gone",': ('{ name = "customer",', "mine.order.customer is declared twice"),
    'name = "mine"': ("name = mine", "Invalid value"),
}


@pytest.mark.parametrize("name", names())
def test_a_reference_schema_has_both_its_files_and_its_name(name: str) -> None:
    """Each folder of schemas is loaded by its name, which its data and its SQL say as well."""
    loaded = load(name)
    assert loaded.schema.name == name
    assert f"CREATE SCHEMA {name};" in loaded.sql
    assert load(loaded.folder).schema == loaded.schema


def test_a_right_schema_is_taken_as_it_is() -> None:
    """The schema that the wrong ones below are made from has nothing wrong with it."""
    schema = decode(GOOD)
    assert [table.name for table in schema.owned] == ["mine.customer", "mine.order"]
    assert schema.tenant_column(schema.table("mine.order")) == "id"


@pytest.mark.parametrize("piece", WRONG)
def test_a_wrong_schema_is_refused_with_its_place(piece: str) -> None:
    """Each kind of mistake is one sentence that names the file, the place and what is wrong there."""
    other, words = WRONG[piece]
    assert GOOD.count(piece) == 1
    with pytest.raises(BadInput, match=words) as refused:
        decode(GOOD.replace(piece, other), source="here.toml")
    assert "here.toml" in refused.value.message


def test_parents_come_before_children() -> None:
    """A NOT NULL foreign key to a table further down is refused: rows could not be loaded in order."""
    head, customer, order = GOOD.split("[[tables]]")
    order, hints = order.split("[hints")
    turned = "[[tables]]".join([head, order, customer + "[hints" + hints])
    with pytest.raises(BadInput, match="comes after it: put parents first"):
        decode(turned)


def test_a_folder_of_the_users_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    """A path works like a name; a missing file and an unknown name are refused with what is known."""
    (tmp_path / "schema.toml").write_text(GOOD)
    with pytest.raises(BadInput, match=r"schema\.sql can't be read"):
        load(tmp_path)
    (tmp_path / "schema.sql").write_text("CREATE SCHEMA mine;")
    assert load(str(tmp_path)).schema.name == "mine"
    with pytest.raises(UnknownName, match="helpdesk, shop"):
        load("nowhere")
