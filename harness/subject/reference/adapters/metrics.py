"""The archiver's metrics endpoint: OpenMetrics text at ``/metrics`` on loopback, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@contextmanager
def metrics_endpoint(port: int, text: Callable[[], str]) -> Iterator[int]:
    """Answer on 127.0.0.1 until left; gives the port, a free one for 0. Raises OSError if it is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer one request."""
            found = self.path.partition("?")[0] == "/metrics"
            body = text().encode() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
            """Keep quiet: requests are no news."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
