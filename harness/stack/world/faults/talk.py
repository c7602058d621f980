"""Whether a server answers at an address, in a language that it speaks: one question, one whole answer."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from harness.stack.identity import APP, DATABASE
from harness.stack.service import Address

Server = Literal["primary", "kafka", "minio"]


class Question(msgspec.Struct, frozen=True):
    """Bytes to be sent, and whether what came back is a whole answer to them."""

    asked: bytes
    whole: Callable[[bytes], bool]


def answer_s(server: Server, address: Address, *, limit_s: float) -> float | None:
    """Return after how many seconds the whole answer was there; None when it was not, within the limit."""
    question, began_s = QUESTIONS[server], time.monotonic()
    heard = b""
    try:
        with socket.create_connection((address.host, address.port), timeout=limit_s) as talk:
            talk.sendall(question.asked)
            while not question.whole(heard):
                talk.settimeout(max(limit_s - (time.monotonic() - began_s), 0.001))
                more = talk.recv(4096)
                if not more:
                    return None
                heard += more
    except OSError:  # refused, reset, or too late
        return None
    return time.monotonic() - began_s


def _startup() -> bytes:
    """A Postgres startup message: it is answered by a greeting of some hundred bytes, or by an error."""
    pairs = b"".join(word.encode() + b"\0" for word in ("user", APP, "database", DATABASE)) + b"\0"
    return struct.pack(">ii", 8 + len(pairs), 196608) + pairs


def _greeted(heard: bytes) -> bool:
    return b"Z\0\0\0\5" in heard


def _versions(heard: bytes) -> bool:
    """Kafka's list of API versions: as long as it says."""
    return len(heard) >= 4 and len(heard) >= 4 + int(struct.unpack(">i", heard[:4])[0])


QUESTIONS: dict[Server, Question] = {
    "primary": Question(_startup(), _greeted),
    "kafka": Question(struct.pack(">ihhih", 10, 18, 0, 1, -1), _versions),
    "minio": Question(
        b"GET /minio/health/live HTTP/1.1\r\nHost: minio\r\nConnection: close\r\n\r\n",
        lambda heard: b"\r\n\r\n" in heard,
    ),
}
