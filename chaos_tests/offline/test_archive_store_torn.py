"""An object server whose answers are cut short: whoever asked hears nothing wrong, and asks again."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from harness.subject.reference.adapters.s3_store import S3Store
from harness.subject.reference.ports import StoreUnavailable

VERSION = "0a1b2c3d-0000-4000-8000-000000000000"
LISTED = f"""<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>
<IsTruncated>false</IsTruncated><Version><Key>key</Key><VersionId>{VERSION}</VersionId><Size>4</Size>
<LastModified>2026-01-05T12:00:00.000Z</LastModified></Version></ListVersionsResult>"""
LOCKED = """<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>COMPLIANCE</Mode>
<RetainUntilDate>2126-01-05T12:00:00.000Z</RetainUntilDate></Retention>"""


def whole(body: str, **headers: str) -> bytes:
    """An answer as it should be."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *lines]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


TORN = b"HTTP/1.1 200 OK\r\nETag: abc\r\nx-amz-vers"
"""What comes through when a connection is broken off in the midst of the headers."""


def take(asked: BinaryIO) -> None:
    """Read one request to its end: to close on an unread rest resets the connection, answer and all."""
    head = iter(asked.readline, b"\r\n")
    lengths = [int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:")]
    asked.read(sum(lengths))


@contextmanager
def server(*answers: bytes) -> Iterator[str]:
    """Serve these answers, one a connection, and close; give the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                talk, _ = listening.accept()
                with talk, talk.makefile("rb") as asked:
                    take(asked)
                    talk.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(timeout=10)


def store_at(endpoint: str) -> S3Store:
    """A client that gives up at once."""
    return S3Store(
        endpoint=endpoint,
        access_key="key",
        secret_key="secret-secret",
        bucket="bucket",
        retention_s=3600,
        patient=False,
    )


def test_a_put_whose_answer_was_cut_short_is_looked_up() -> None:
    """It names no version: what is stored, and that it is locked, is asked for (FM-84)."""
    answers = (TORN, whole(LISTED), whole("body"), whole(LOCKED))
    with server(*answers) as endpoint:
        stored = asyncio.run(store_at(endpoint).put_once("key", b"body"))
    assert (stored.version, stored.size_bytes) == (VERSION, 4)


def test_a_second_version_whose_answer_was_cut_short_is_put_again() -> None:
    """Which of several it was can't be told; one more does no harm."""
    with server(TORN) as endpoint, pytest.raises(StoreUnavailable, match="no version"):
        asyncio.run(store_at(endpoint).put_again("key", b"body"))


@pytest.mark.parametrize("answer", [TORN, whole(LISTED)[:-20], b"HTTP/1.1 200 OK\r\n\r\n<List"])
def test_what_was_cut_short_is_never_taken_for_whole(answer: bytes) -> None:
    """Neither an object nor a listing: both are asked for again."""
    with server(answer) as endpoint, pytest.raises(StoreUnavailable):
        asyncio.run(store_at(endpoint).get("key", VERSION))
    with server(answer) as endpoint, pytest.raises(StoreUnavailable):
        asyncio.run(store_at(endpoint).list("key"))
