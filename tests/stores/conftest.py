"""Servers for the store tests; each is started once a session, when the first test asks for it."""

from tests.stores.servers.postgres import (
    postgres15,
    postgres15_process,
    postgres17,
    postgres17_process,
    postgres_process,
    postgres_server,
)

__all__ = [
    "postgres15",
    "postgres15_process",
    "postgres17",
    "postgres17_process",
    "postgres_process",
    "postgres_server",
]
