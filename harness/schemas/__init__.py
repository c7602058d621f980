"""Schemas that drills run on: reference ones by name, and a user's own by the path of its folder.

A schema is a folder with two files that say the same thing twice: ``schema.sql`` builds it, and
``schema.toml`` holds it as data (columns, keys, whose rows they are, how writers and scripts use it),
decoded into ``harness.model.schema.Schema`` and checked for names that do not meet. A folder more is a
schema more; no code knows any of them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from harness.model.errors import BadInput, UnknownName
from harness.model.schema import Schema
from harness.schemas.agreement import disagreements

SQL_FILE = "schema.sql"
DATA_FILE = "schema.toml"
_HERE = Path(__file__).parent


class LoadedSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A schema as data, and the SQL that builds it in an empty database; ``folder`` holds both."""

    schema: Schema
    sql: str
    folder: Path = Path()


def names() -> list[str]:
    """Return the names of the reference schemas, in order."""
    return sorted(folder.parent.name for folder in _HERE.glob(f"*/{DATA_FILE}"))


def load(name_or_path: str | Path) -> LoadedSchema:
    """Load a reference schema by name, or the schema in a folder.

    Raises UnknownName for a name that is neither, and BadInput, naming file and place, for a folder whose
    files are missing or wrong.
    """
    folder = _folder(name_or_path)
    return LoadedSchema(
        schema=decode(_text(folder / DATA_FILE), source=str(folder / DATA_FILE)),
        sql=_text(folder / SQL_FILE),
        folder=folder.resolve(),
    )


def decode(text: str, *, source: str = DATA_FILE) -> Schema:
    """Read a schema from TOML; raises BadInput naming ``source``, the place and the cure."""
    try:
        raw = tomllib.loads(text)
        _demand_tenancy(raw, source)
        schema = msgspec.convert(raw, Schema)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"{source}: {error}", cure="mend that place in the file") from None
    if found := disagreements(schema):
        raise BadInput(f"{source}: {'; '.join(found)}", cure="mend those names in the file")
    return schema


def _folder(name_or_path: str | Path) -> Path:
    if name_or_path in names():
        return _HERE / name_or_path
    folder = Path(name_or_path)
    if not folder.is_dir():
        raise UnknownName("schema", str(name_or_path), [*names(), "the path of a schema's folder"])
    return folder


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{file} can't be read: {error}",
            cure=f"a schema is a folder with {SQL_FILE} and {DATA_FILE}",
        ) from None


def _demand_tenancy(raw: dict[str, object], source: str) -> None:
    """Say it in full when a table has no tenancy: it is the one thing that only its owner can know."""
    tables = raw.get("tables", [])
    for table in tables if isinstance(tables, list) else []:
        if isinstance(table, dict) and "tenancy" not in table:
            raise BadInput(
                f"{source}: table {table.get('name')} has no tenancy",
                cure="declare a tenant column, a path of foreign keys, shared or infrastructure",
            )
