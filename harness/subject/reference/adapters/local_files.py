"""Keys and owner index in SQLite files, and the signing key's own. Keys outlive everything; the index may
be lost and is rebuilt.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.model.errors import ArchiveBroken, BadInput
from harness.subject.reference.ports import Checkpoint, TenantKey
from harness.subject.reference.signing import Signer

SEPARATOR = "\x1f"


class SqliteKeys:
    """Tenants' keys; one is on disk before it is handed out the first time."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._by_tenant: dict[str, TenantKey] = {}
        self._by_id: dict[str, TenantKey] = {}

    async def current(self, tenant: str) -> TenantKey:
        """Return the tenant's newest key, made and durable if there was none."""
        if tenant not in self._by_tenant:
            with closing(self._open()) as db:
                found = _find(db, "tenant = ? ORDER BY rowid DESC", tenant)
                self._by_tenant[tenant] = found or _make(db, tenant)
        return self._by_tenant[tenant]

    async def get(self, key_id: str) -> TenantKey:
        """Return a key by its id; raises ArchiveBroken."""
        if key_id not in self._by_id:
            with closing(self._open()) as db:
                found = _find(db, "id = ?", key_id)
            if found is None:
                raise ArchiveBroken(
                    f"key {key_id} is not in the key store: what was sealed with it can't be read",
                    cure="use the key store that the archiver wrote with",
                )
            self._by_id[key_id] = found
        return self._by_id[key_id]

    def _open(self) -> sqlite3.Connection:
        db = _open(self._path)
        db.execute(
            "CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, tenant TEXT NOT NULL,"
            " secret BLOB NOT NULL, made INTEGER NOT NULL DEFAULT (unixepoch()))"
        )
        return db


def _find(db: sqlite3.Connection, condition: str, value: str) -> TenantKey | None:
    query = f"SELECT id, tenant, secret FROM keys WHERE {condition} LIMIT 1"
    row = db.execute(query, (value,)).fetchone()
    return None if row is None else TenantKey(id=row[0], tenant=row[1], secret=row[2])


def _make(db: sqlite3.Connection, tenant: str) -> TenantKey:
    key = TenantKey(id=secrets.token_hex(16), tenant=tenant, secret=secrets.token_bytes(32))
    with db:
        db.execute(
            "INSERT INTO keys (id, tenant, secret) VALUES (?, ?, ?)",
            (key.id, key.tenant, key.secret),
        )
    return key


def make_signing_key(path: str | Path) -> Signer:
    """Return the signing key in this file, made and durable if there is none; for its owner's eyes only."""
    file = Path(path)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        _write_private(fresh, Ed25519PrivateKey.generate())
        with suppress(FileExistsError):  # somebody else was first: theirs is the key
            os.link(fresh, file)
        fresh.unlink()
    return read_signing_key(file)


def read_signing_key(path: str | Path) -> Signer:
    """Read the signing key; raises BadInput when there is none."""
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the signing key can't be read: {error}", cure="`restoreproof archive key` makes one"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path} holds another kind of key", cure="use an Ed25519 key")
    return Signer(key)


def _write_private(file: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(pem)
        opened.flush()
        os.fsync(opened.fileno())


class SqliteIndex:
    """The owner index: what is put stays in memory until ``flush`` has written it."""

    def __init__(self, path: str | Path) -> None:
        self._db = _open(path)
        self._db.executescript(
            "CREATE TABLE IF NOT EXISTS owners (place TEXT, cells TEXT, tenant TEXT NOT NULL,"
            " PRIMARY KEY (place, cells)) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), body BLOB);"
        )
        self._new: dict[tuple[str, str], str] = {}
        kept = self._db.execute("SELECT body FROM checkpoint").fetchone()
        self._checkpoint = None if kept is None else msgspec.json.decode(kept[0], type=Checkpoint)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How far the index is complete."""
        return self._checkpoint

    def get(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...]) -> str | None:
        """Return the owner, if known."""
        at = _place(table, columns, cells)
        if at in self._new:
            return self._new[at]
        query = "SELECT tenant FROM owners WHERE place = ? AND cells = ?"
        row = self._db.execute(query, at).fetchone()
        return None if row is None else str(row[0])

    def put(self, table: str, columns: tuple[str, ...], cells: tuple[str, ...], owner: str) -> None:
        """Remember an owner."""
        self._new[_place(table, columns, cells)] = owner

    def forget(self) -> None:
        """Forget what was put since the last flush."""
        self._new.clear()

    def flush(self, checkpoint: Checkpoint) -> None:
        """Write everything put so far, durably."""
        rows = [(*at, tenant) for at, tenant in self._new.items()]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO owners VALUES (?, ?, ?)", rows)
            body = msgspec.json.encode(checkpoint)
            self._db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", (body,))
        self._new.clear()
        self._checkpoint = checkpoint

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _open(path: str | Path) -> sqlite3.Connection:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=10, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def _place(table: str, columns: tuple[str, ...], cells: tuple[str, ...]) -> tuple[str, str]:
    return SEPARATOR.join((table, *columns)), SEPARATOR.join(cells)
