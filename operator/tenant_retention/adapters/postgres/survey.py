"""Looking at a server: everything that ``plan_database`` needs to know, read from the catalogs by their names alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tenant_retention.adapters.postgres.connections import Connection
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.databases import (
    MarkedDatabase,
    Membership,
    ObservedData,
    ObservedInterior,
    ObservedRole,
)
from tenant_retention.domain.store_marker import StoreMarker

FOLDER = "administration"
GRANTS_HAVE_OPTIONS = 160_000
"""From 16 on memberships have INHERIT and SET options and belong to their grantor."""


def rows(connection: Connection, name: str, **arguments: Any) -> list[tuple[Any, ...]]:
    """The rows of a named statement of ``sql/administration``."""
    return connection.execute(statement(FOLDER, name), arguments).fetchall()


def observe_roles(connection: Connection, names: tuple[str, ...]) -> dict[str, ObservedRole]:
    """Those of the named roles that exist, with their attributes, settings and comments."""
    settings: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for role, database, text in rows(connection, "observe_settings", names=list(names)):
        setting, _, value = text.partition("=")
        settings[role].add((database, setting, value))
    become = "SET" if connection.info.server_version >= GRANTS_HAVE_OPTIONS else "MEMBER"
    return {
        name: ObservedRole(
            name=name,
            login=login,
            inherits=inherits,
            powers=frozenset(powers),
            connection_limit=limit,
            expires=expires,
            comment=comment,
            settings=frozenset(settings[name]),
            at_hand=at_hand,
        )
        for name, login, inherits, limit, expires, comment, at_hand, powers in rows(
            connection, "observe_roles", names=list(names), become=become
        )
    }


def observe_memberships(connection: Connection, names: tuple[str, ...]) -> frozenset[Membership]:
    """Every membership in one of the named roles, or of one of them."""
    version = connection.info.server_version
    found = rows(connection, "observe_memberships", names=list(names), version=version)
    return frozenset(Membership(role, member, revocable) for role, member, revocable in found)


def observe_data(connection: Connection, database: str) -> ObservedData | None:
    """The database as seen from outside, None if there is none."""
    found = rows(connection, "observe_data", database=database)
    if not found:
        return None
    owner, allows_connections, connection_limit = found[0]
    grants = frozenset(
        (grantee, privilege) for grantee, privilege in rows(connection, "observe_grants", database=database)
    )
    return ObservedData(owner, allows_connections, connection_limit, grants)


def observe_interior(connection: Connection, owner: str) -> ObservedInterior:
    """What PUBLIC may do inside the database of this connection."""
    ((public_schema, functions_closed),) = rows(connection, "observe_interior", owner=owner)
    return ObservedInterior(frozenset(public_schema), functions_closed)


def open_databases(connection: Connection, database: str) -> tuple[str, ...]:
    """Other databases that everybody may connect to."""
    return tuple(name for (name,) in rows(connection, "observe_open_databases", database=database))


def marked_databases(connection: Connection) -> tuple[MarkedDatabase, ...]:
    """Every database, or remains of one, whose owner role carries a marker, whoever's."""
    owners: Mapping[str, str] = dict(rows(connection, "discover_databases"))
    found = []
    for role, comment in rows(connection, "discover_owners"):
        marker, database = StoreMarker.from_json(comment), role.removesuffix("_owner")
        if marker is not None:
            found.append(MarkedDatabase(database, marker, owners.get(database) == role))
    return tuple(found)


def marker_of(connection: Connection, owner: str) -> StoreMarker | None:
    """The marker on an owner role right now, None if there is none."""
    role = observe_roles(connection, (owner,)).get(owner)
    return StoreMarker.from_json(role.comment) if role else None
