"""The table of types: each built-in one of Postgres is carried, with its reader, or refused, with a reason.

What arrives was seen of Debezium 3.7.0 under the settings of the stack's connector and of ``connector.py``,
by snapshot and by stream. A type that it bends on the way is refused by the lint before anything is
archived (FM-58, FM-63 to FM-67). Some are bent at single values only: those types are carried under a
CHECK that rules these values out. ``docs/types.md`` is written from here (``types_page.py``).
"""

from __future__ import annotations

from typing import NamedTuple

from harness.subject.reference import geometric, readers
from harness.subject.reference.readers import ToText


class Demand(NamedTuple):
    """What a CHECK must say, as Postgres prints it of ``{column}``, and what goes wrong without it."""

    condition: str
    why: str


class Carried(NamedTuple):
    """Arrives as it was, if what it ``demands`` holds."""

    read: ToText
    demands: tuple[Demand, ...] = ()


class Refused(NamedTuple):
    """Arrives changed, or not at all: ``why``; ``instead`` is a type that carries its values."""

    why: str
    instead: str = "text"


FLAT = (
    Demand("(array_ndims({column}) = 1)", "may hold more than one dimension, and would arrive as NULLs"),
    Demand("(array_lower({column}, 1) = 1)", "may begin elsewhere than at 1, and would arrive as if there"),
)
_BEFORE_MIDNIGHT = (
    Demand("({column} < '24:00:00'::time without time zone)", "may hold 24:00, and would arrive as 00:00"),
)
_FINITE = (Demand("isfinite({column})", "may hold infinity, and would arrive as 0"),)

_OF_ONE_CLUSTER = "its text names an object of one cluster's catalogue, which another may not have"
_NO_VALUES = "it is the catalogue's own, and no application's to write"
_PSEUDO = "a pseudo-type: no column can have it"

TYPES: dict[str, Carried | Refused] = {
    **dict.fromkeys(
        (
            *(
                "text",
                "character varying",
                "character",
                "bpchar",
                '"char"',
                "name",
                "uuid",
                "json",
                "jsonb",
            ),
            *("inet", "cidr", "macaddr", "macaddr8", "tsvector"),
            *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
            *("ltree", "citext"),
        ),
        Carried(readers.string),
    ),
    **dict.fromkeys(("smallint", "integer", "bigint", "oid"), Carried(readers.integer)),
    **dict.fromkeys(
        (
            *("xid8", "xid", "cid", "tid", "pg_lsn", "txid_snapshot", "pg_snapshot", "tsquery", "jsonpath"),
            *("int4multirange", "int8multirange", "nummultirange"),
            *("datemultirange", "tsmultirange", "tstzmultirange"),
        ),
        Carried(readers.printed),
    ),
    "boolean": Carried(readers.boolean),
    "numeric": Carried(readers.numeric),
    "real": Carried(readers.real),
    "double precision": Carried(readers.double),
    "bit": Carried(readers.bits_of(1)),
    "bytea": Carried(readers.bytea),
    "date": Carried(readers.date),
    "time without time zone": Carried(readers.clock, _BEFORE_MIDNIGHT),
    "timestamp without time zone": Carried(readers.timestamp_with("")),
    "timestamp with time zone": Carried(readers.timestamp_with("+00")),
    "interval": Carried(readers.interval, _FINITE),
    "point": Carried(geometric.point),
    "line": Carried(geometric.line),
    "lseg": Carried(geometric.segment),
    "path": Carried(geometric.path),
    "box": Carried(geometric.box),
    "circle": Carried(geometric.circle),
    "polygon": Refused(
        "its ring arrives closed: whether the last corner was the first one can't be told", "path"
    ),
    "time with time zone": Refused("it arrives in UTC, without its offset", "time without time zone"),
    "bit varying": Refused("it arrives as a number, without its leading zeros"),
    "money": Refused("its text follows lc_monetary, which may differ where it is restored", "numeric"),
    "xml": Refused("it was never shown to arrive: a server without libxml can't even make one"),
    "refcursor": Refused("the snapshot's driver opens the cursor of that name, and fails"),
    **dict.fromkeys(
        ("int2vector", "oidvector"), Refused("it arrives as an empty array, whatever it holds", "bigint[]")
    ),
    **dict.fromkeys(
        (
            *("regproc", "regprocedure", "regoper", "regoperator", "regclass", "regcollation", "regtype"),
            *("regrole", "regnamespace", "regconfig", "regdictionary", "aclitem"),
        ),
        Refused(_OF_ONE_CLUSTER),
    ),
    **dict.fromkeys(
        (
            *("pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "gtsvector"),
            *("pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"),
        ),
        Refused(_NO_VALUES),
    ),
    **dict.fromkeys(
        (
            *("unknown", "record", "record[]", "cstring", "void", "trigger", "event_trigger", "internal"),
            *('"any"', "anyarray", "anyelement", "anynonarray", "anyenum", "anyrange", "anymultirange"),
            *("anycompatible", "anycompatiblearray", "anycompatiblenonarray", "anycompatiblerange"),
            *("anycompatiblemultirange", "language_handler", "fdw_handler", "index_am_handler"),
            *("table_am_handler", "tsm_handler", "pg_ddl_command"),
        ),
        Refused(_PSEUDO),
    ),
}
"""By the names that format_type gives, without modifiers. ltree and citext are extensions'."""

EXTENSIONS = ("ltree", "citext")

IN_ARRAYS = (
    *("smallint", "integer", "bigint", "oid", "boolean", "real", "double precision"),
    *("text", "character varying", "character", "bpchar", '"char"', "uuid", "json", "jsonb", "bytea"),
    *("inet", "cidr", "macaddr", "macaddr8"),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
)
"""Whose arrays are carried, NULLs among the elements included."""

ARRAYS_REFUSED = Refused(
    "arrays of it arrive as NULL, without eras, offsets or microseconds, or not at all", "text[]"
)
ENUM_ARRAYS = Refused("a NULL in an array of an enum makes all of it NULL", "text[]")
DOMAIN_ARRAYS = Refused("arrays of a domain arrive as NULL, or as bytes", "text[]")
COMPOSITE = Refused("its type is composite, or not known: what arrives can't be read")
