"""The key of method Hash on its way from one database of a policy to another: read and written as the owner, by results and COPY
alone, since the parameters of statements stand in a server's log (P12)."""

from __future__ import annotations

from typing import Any

import psycopg

from tenant_retention.adapters.postgres.failures import translated
from tenant_retention.adapters.postgres.schema import become_owner
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.hash_keys import HashKeyState

Connection = psycopg.Connection[Any]


def hash_key_state(connection: Connection, roles: DatabaseRoles) -> HashKeyState:
    """What the database says of its key; not the key."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        found = connection.execute(statement("calls", "hash_key_state")).fetchone()
    assert found is not None
    needed, fingerprint, destroyed = found
    return HashKeyState(needed, fingerprint, frozenset(destroyed))


def made_hash_key(connection: Connection, roles: DatabaseRoles) -> tuple[bytes, bytes]:
    """The two pads of the database's key, which is made where there is none. Never to be told, logged or stored elsewhere."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        connection.execute(statement("calls", "make_hash_key"))
        found = connection.execute(statement("calls", "read_hash_key")).fetchone()
    assert found is not None
    inner, outer = found
    return bytes(inner), bytes(outer)


def take_hash_key(connection: Connection, roles: DatabaseRoles, pads: tuple[bytes, bytes]) -> bool:
    """Gives the database this key, unless it has one by now, or this one was destroyed in it; whether it did."""
    with translated(), connection.transaction() as transaction:
        become_owner(connection, roles)
        connection.execute(statement("calls", "lock_hash_key"))
        if connection.execute(statement("calls", "read_hash_key")).fetchone() is not None:
            return False
        with connection.cursor().copy(statement("calls", "take_hash_key")) as copy:
            copy.write_row(pads)
        state = connection.execute(statement("calls", "hash_key_state")).fetchone()
        assert state is not None
        if state[1] in state[2]:
            raise psycopg.Rollback(transaction)
        return True


def destroy_hash_key(connection: Connection, roles: DatabaseRoles) -> None:
    """See ``retention.destroy_anonymization_key``."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        connection.execute(statement("calls", "destroy_hash_key"))
