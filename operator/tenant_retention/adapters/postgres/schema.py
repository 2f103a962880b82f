"""Makes the inside of a tenant database what a definition says: control tables, functions, tables, months, guards, grants.

Level-triggered: what somebody changed or removed by hand is put right and told; nothing with data is ever dropped (M11).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import translated
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import Invalid, Unavailable
from tenant_retention.domain.plan_document import Mode

CONTROL_FORMAT = 1
"""Version of the control tables; a database that was made by a newer operator is refused, not downgraded."""
_FOLDERS = ("schema", "functions", "guards", "evidence", "observation")


def apply_definition(
    connection: psycopg.Connection[Any],
    definition: RetentionDefinition,
    purpose: str,
    roles: DatabaseRoles,
    *,
    mode: Mode = Mode.ENFORCE,
    suspended: bool = False,
    files: bool = True,
) -> tuple[str, ...]:
    """Makes the database of this purpose what ``definition`` says; returns what it changed, () if all was right already.

    Run by the operator's administrator (never a superuser); everything happens as the owner role. One transaction for rules,
    tables, guards and grants; then one per table for its months, so that a large profile does not exhaust the lock table.
    ``files`` False: it does not decide about files by their last modification; of several databases of a purpose one does.
    ``mode`` DryRun or ``suspended``: the functions refuse every enforcing run, whoever begins it.
    Raises Invalid (reasons StoreConflict, ProfileInvalid, OperatorTooOld), Unavailable (LockTimeout and whatever keeps the
    server from answering; PartitionsMissing after the last table if one of them has not all its months).
    """
    wanted = definition.model_dump(mode="json", by_alias=True)
    if not files:
        wanted["categories"] = [category | {"files": None} for category in wanted["categories"]]
    role_names = Jsonb(asdict(roles))
    with translated():
        with connection.transaction():
            become_owner(connection, roles)
            _refuse_newer(connection)
            changes = [*_install(connection)]
            arguments = (Jsonb(wanted), purpose, definition.rules_digest(), mode.value, suspended, CONTROL_FORMAT)
            changes += _told(connection, statement("calls", "converge_rules"), arguments)
            changes += _told(connection, statement("calls", "converge_tables"))
            changes += _told(connection, statement("calls", "converge_anonymizing"))
            changes += _told(connection, statement("calls", "converge_rewrites"))
            changes += _told(connection, statement("calls", "converge_guards"))
            changes += _told(connection, statement("calls", "converge_consent"))
            changes += _told(connection, statement("calls", "converge_masked_digits"))
            changes += _told(connection, statement("calls", "converge_ranges"))
            changes += _told(connection, statement("calls", "converge_vacuum"))
            changes += _told(connection, statement("calls", "converge_grants"), (role_names,))
    missing = []
    for table in definition.tables_of(purpose):
        try:
            with translated(), connection.transaction():
                become_owner(connection, roles)
                made = _value(connection, statement("calls", "create_partitions"), (table.name,))
        except Unavailable as error:
            if connection.broken:
                raise
            # One table's trouble must not leave the others without the month that applications write into next.
            missing.append(f"{table.name}: {error.message}")
        else:
            changes += [f"{made} months of {table.name} created"] if made else []
    if missing:
        raise Unavailable("months could not be created: " + "; ".join(missing), reason=Reason.PARTITIONS_MISSING)
    return tuple(changes)


def write_approval(
    connection: psycopg.Connection[Any],
    roles: DatabaseRoles,
    *,
    rules_digest: str,
    max_rows: int,
    until: datetime,
    run_name: str,
) -> None:
    """Lets the guard pass for these rules: at most ``max_rows`` newly due rows in this database, until ``until`` (UTC)."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        connection.execute(statement("calls", "write_approval"), (rules_digest, max_rows, until, run_name))


def refuse_runs(connection: psycopg.Connection[Any], roles: DatabaseRoles) -> None:
    """Makes the database itself refuse enforcing runs, one that is under way too, until ``apply_definition`` allows them (X5)."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        if _value(connection, statement("calls", "is_installed")):
            connection.execute(statement("calls", "refuse_runs"))


def note_clock(connection: psycopg.Connection[Any], roles: DatabaseRoles, now: Callable[[], datetime]) -> bool:
    """Tells the database the operator's own clock (UTC), a witness that no node of the database moves; whether both agree
    to a minute. While they do not, the database refuses every run that deletes."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        # Read last: whatever was waited for before is no difference of clocks.
        return bool(_value(connection, statement("calls", "note_clock"), (now(),)))


def knows_link(connection: psycopg.Connection[Any], roles: DatabaseRoles, evidence_hash: str) -> bool:
    """Whether this link of the evidence chain is in this database: in one that was made anew it is not (X6)."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        installed = _value(connection, statement("calls", "is_installed"))
        return bool(installed and _value(connection, statement("calls", "knows_link"), (evidence_hash,)))


def read_definition(connection: psycopg.Connection[Any], roles: DatabaseRoles) -> RetentionDefinition | None:
    """The definition that was last written into this database, None if there is none yet."""
    with translated(), connection.transaction():
        become_owner(connection, roles)
        if not _value(connection, statement("calls", "is_installed")):
            return None
        found = _value(connection, statement("calls", "read_definition"))
    return RetentionDefinition.model_validate(found) if found is not None else None


def become_owner(connection: psycopg.Connection[Any], roles: DatabaseRoles) -> None:
    """The rest of the transaction is the owner's, with the settings that every statement of ours expects."""
    connection.execute(statement("calls", "become_owner").format(owner=sql.Identifier(roles.owner)))
    connection.execute(statement("calls", "settle_session"))


@cache
def _scripts() -> tuple[tuple[str, str], ...]:
    """Every script by its name, in the order in which they are run."""
    root = files(__package__) / "sql"
    return tuple(
        (f"{folder}/{file.name}", file.read_text(encoding="utf-8"))
        for folder in _FOLDERS
        for file in sorted((root / folder).iterdir(), key=lambda entry: entry.name)
    )


def _refuse_newer(connection: psycopg.Connection[Any]) -> None:
    """Before anything is replaced: older functions would misread the tables of a newer format."""
    if not _value(connection, statement("calls", "is_installed")):
        return
    found = _value(connection, statement("calls", "installed_format"))
    if found is not None and found > CONTROL_FORMAT:
        raise Invalid(
            f"the database has control format {found}, this operator knows {CONTROL_FORMAT}: upgrade the operator",
            reason=Reason.OPERATOR_TOO_OLD,
        )


def _source_digest() -> str:
    return hashlib.sha256(json.dumps(_scripts()).encode()).hexdigest()


def _install(connection: psycopg.Connection[Any]) -> Sequence[str]:
    """Control tables and functions; run again where the scripts are new or a function is not as it was installed."""
    source = _source_digest()
    if _value(connection, statement("calls", "is_installed")):
        changed = _changed_functions(connection)
        installed = _value(connection, statement("calls", "installed_source"))
        if not changed and installed == source:
            return ()
        told = [f"function {name} put right" for name in changed] if installed == source else ["functions updated"]
    else:
        told = ["control schema created"]
    for _, text in _scripts():
        # Scripts of this package, without parameters: bytes, so that nothing in them is taken for a placeholder.
        connection.execute(text.encode())
    # In the transaction that creates them: nobody else ever sees them open to PUBLIC.
    connection.execute(statement("calls", "close_functions"))
    connection.execute(statement("calls", "forget_functions"))
    connection.execute(statement("calls", "remember_functions"))
    connection.execute(statement("calls", "remember_source"), (source,))
    return told


def _changed_functions(connection: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in connection.execute(statement("calls", "changed_functions")).fetchall()]


def _told(connection: psycopg.Connection[Any], query: sql.SQL, arguments: Sequence[object] | None = None) -> list[str]:
    return [row[0] for row in connection.execute(query, arguments).fetchall()]


def _value(connection: psycopg.Connection[Any], query: sql.SQL, arguments: Sequence[object] | None = None) -> Any:
    row = connection.execute(query, arguments).fetchone()
    return row[0] if row else None
