"""A connection that is kept between uses: opened when first asked for, and again once it was lost."""

from __future__ import annotations

import psycopg


class KeptConnection:
    """Reaches the database by ``dsn`` under an application ``name``; every statement commits by itself."""

    def __init__(self, dsn: str, *, name: str, connect_s_max: int) -> None:
        self._dsn = dsn
        self._name = name
        self._connect_s_max = connect_s_max
        self._session: psycopg.AsyncConnection | None = None

    async def connected(self) -> psycopg.AsyncConnection:
        """Return the connection; raises psycopg.OperationalError when there is none to be had."""
        if self._session is None or self._session.closed:
            self._session = await psycopg.AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=self._connect_s_max,
                application_name=self._name,
            )
        return self._session

    async def close(self) -> None:
        """Close the connection, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
