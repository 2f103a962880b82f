"""How a PostgreSQL server is reached, and what was learned by reaching it. Values only; connecting is an adapter's work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

MINIMUM_SERVER_VERSION = 150000
"""PostgreSQL 15 as ``server_version_num``: the first one where PUBLIC cannot create in schema public."""

SLOW = timedelta(seconds=1)
"""A round trip of the simplest question that is called slow: a night's run makes thousands of them (D6, D7)."""
SLOW_WORDS = "a round trip takes more than a second, so runs will be slow: put the server nearer or relieve it"

SYSTEM_AUTHORITIES = Path("system")
"""As ``ca_file``: the authorities that the machine itself believes."""


@dataclass(frozen=True)
class ServerAccess:
    """One login at one server. TLS is always verify-full: the certificate must name ``host``.

    ``ca_file``: PEM bundle of the CA to believe. ``database``: the one to connect to; administration starts at
    ``postgres``. The password appears in no ``repr``.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca_file: Path
    database: str = "postgres"


@dataclass(frozen=True)
class ServerFacts:
    """What a server said of itself (D6, D7). ``version``: ``server_version_num``; ``latency``: one round trip.

    ``superuser``: True when the administrator login is one: more than this product needs, shown as a warning.
    """

    version: int
    latency: timedelta
    tls: str
    can_create_database: bool
    can_create_role: bool
    superuser: bool

    def words(self) -> tuple[str, ...]:
        """For the class's status: what is so, then what is wrong and the next step. No figure that moves by itself."""
        said = [f"PostgreSQL {self.version // 10_000}.{self.version % 10_000}, {self.tls}"]
        if self.superuser:
            said.append("the administrator is a superuser, which is more than is needed")
        if self.latency > SLOW:
            said.append(SLOW_WORDS)
        return tuple(said)
