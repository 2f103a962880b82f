"""What a server has that is its owner's: looked at before and after, it shows whether anybody altered it (D6)."""

from __future__ import annotations

from tests.stores.servers.postgres import PostgresProcess, connect_as

WHAT_IS_THERE = (
    "SELECT rolname, rolsuper, rolconnlimit, shobj_description(oid, 'pg_authid') FROM pg_roles ORDER BY 1",
    "SELECT datname, datdba, datconnlimit, datacl::text FROM pg_database ORDER BY 1",
    "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%%' ORDER BY 1",
    "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members ORDER BY 1, 2",
    "SELECT coalesce(datname, rolname), rolname, setconfig FROM pg_db_role_setting"
    " LEFT JOIN pg_database ON pg_database.oid = setdatabase LEFT JOIN pg_roles ON pg_roles.oid = setrole ORDER BY 1, 2",
    "SELECT name, setting FROM pg_settings ORDER BY 1",
)
"""The first column is a name."""


def everything(process: PostgresProcess, but: str | None = None) -> list[list[tuple[object, ...]]]:
    """Roles, databases, schemas, memberships and settings; ``but``: without what has a name that begins so."""
    with connect_as(process.superuser) as connection:
        found = [connection.execute(query.encode()).fetchall() for query in WHAT_IS_THERE]
    return [[row for row in rows if but is None or not str(row[0]).startswith(but)] for rows in found]
