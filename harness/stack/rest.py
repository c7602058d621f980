"""Plain HTTP to the services' own REST interfaces, never through a proxy of the environment's.

Connections are not kept: a service that was killed and started again must not meet a stale one.
"""

from __future__ import annotations

import functools

import httpx

TIMEOUT_S = 10.0


def get(url: str, *, timeout_s: float = TIMEOUT_S) -> httpx.Response:
    """Send GET; raises httpx.HTTPError when nothing answers in time."""
    return _client().get(url, timeout=timeout_s)


def send(method: str, url: str, body: object = None, *, timeout_s: float = TIMEOUT_S) -> httpx.Response:
    """Send a request with a JSON body; raises httpx.HTTPError when nothing answers in time."""
    return _client().request(method, url, json=body, timeout=timeout_s)


@functools.cache
def _client() -> httpx.Client:
    # verify=False: only plain HTTP on loopback is spoken, and loading certificates takes 20 ms
    return httpx.Client(trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
