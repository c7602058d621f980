"""The names and secrets of one stack, drawn once when it is started.

Everything that two stacks side by side could mistake for each other's is random: ids, keys, bucket.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Mapping
from typing import Literal

import msgspec

DATABASE = "app"
SUPERUSER = "postgres"
APP, DEBEZIUM, ARCHIVER, RESTORER = "app", "debezium", "archiver", "restorer"
STANDBY = "standby"
"""The standby's application name and the name of its physical slot, whichever node it is."""

Role = Literal["primary", "standby"]
Node = Literal["postgres-1", "postgres-2"]
Nodes = Mapping[Role, Node]
AT_FIRST: Nodes = {"primary": "postgres-1", "standby": "postgres-2"}
"""Which node of the pair has which role; a failover exchanges them."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """``placeholder`` stands in events for an unchanged TOAST value that was not logged (FM-37, FM-38)."""

    id: str
    access_key: str
    secret_key: str
    bucket: str
    placeholder: str
    topic: str = "restoreproof"
    slot: str = "restoreproof"
    publication: str = "restoreproof_pub"
    connector: str = "restoreproof"


def new_identity() -> Identity:
    """Draw the names and secrets of a new stack."""
    token = secrets.token_hex(4)
    return Identity(
        id=token,
        access_key=f"rp{secrets.token_hex(6)}",
        secret_key=secrets.token_hex(16),
        bucket=f"restoreproof-{token}",
        placeholder=f"__unavailable_{secrets.token_hex(16)}__",
    )


def new_cluster_id() -> str:
    """Return a new Kafka cluster id: a random UUID in URL-safe base64, 22 characters."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
