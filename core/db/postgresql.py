"""How long is a PostgreSQL waited for that does not answer?

`statement_timeout` is the server's, and a server that hangs (or a network that takes and acknowledges what is sent, and
delivers nothing) tells no time. Without a bound of our own each such wait holds its thread for ever.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings

#: How much longer than a statement may take: for the server's own "it took too long" to arrive.
_ON_THE_WAY_SECONDS = 1.0


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is given up when it does not answer; the pool then makes another."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """What the server answers; signals are looked for at each interval.

        Raises OperationalError where nothing is answered.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, settings.STATEMENT_SECONDS + _ON_THE_WAY_SECONDS)
        except psycopg.errors._WaitTimeout as error:
            # Its answer might still come, to another question: nothing more is asked of it.
            self.pgconn.finish()
            raise psycopg.OperationalError("the database does not answer") from error
