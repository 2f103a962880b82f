"""Loading a backup into one database as its administrator, who becomes the owner; closed to applications until it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tenant_retention.adapters.postgres.failures import translated
from tenant_retention.adapters.postgres.schema import become_owner, write_approval
from tenant_retention.adapters.postgres.statements import statement
from tenant_retention.domain.archive_files import FileManifest
from tenant_retention.domain.backups import BackupFile, FileKind, RestoreProgress
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.errors import Invalid

_ANY_ROWS = 2**62
_RUN_NAME = "restore"


class PostgresRestoreTarget:
    """Implements ``RestoreTarget``. ``connection``: the administrator's, in the database. ``name``: of its place; ``tables``: that
    are managed in it; ``beside``: rows that are there already stay, and a restore may begin all the same."""

    def __init__(
        self, connection: psycopg.Connection[Any], database: str, name: str, tables: Sequence[str], *, beside: bool
    ) -> None:
        self._connection = connection
        self._roles = DatabaseRoles.of(database)
        self._name = name
        self._tables = tables
        self._beside = beside

    def progress(self, backup_id: str) -> RestoreProgress:
        """See ``RestoreTarget.progress``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            (told,) = self._connection.execute(_named("progress"), {"id": backup_id}).fetchall()[0]
        return RestoreProgress(told)

    def check(self, rules_digest: str, backup_id: str) -> None:
        """See ``RestoreTarget.check``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            self._check(rules_digest, backup_id)

    def close_to_applications(self, rules_digest: str, backup_id: str) -> None:
        """See ``RestoreTarget.close_to_applications``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            # First, as every step of a run does: one that is under way comes to an end, its next one is refused.
            self._connection.execute(_named("lock_settings"))
            for table in self._tables:
                # Who is writing comes to an end first, who comes later meets the missing privilege.
                self._connection.execute(_named("lock_table").format(table=sql.Identifier(table)))
            self._check(rules_digest, backup_id)
            if self._connection.execute(_named("begin"), (backup_id, self._beside)).rowcount:
                self._connection.execute(_named("forget_files"))
                self._connection.execute(_named("record_begin"))
            self._settle_grants()

    def loaded(self) -> frozenset[int]:
        """See ``RestoreTarget.loaded``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            return frozenset(number for (number,) in self._connection.execute(_named("loaded")).fetchall())

    def load(self, file: BackupFile, blocks: Iterator[bytes]) -> int:
        """See ``RestoreTarget.load``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            match file.kind:
                case FileKind.HOLDS:
                    rows = self._load_holds(file, blocks)
                case FileKind.ARCHIVE_FILES:
                    rows = self._load_archive_files(file, blocks)
                case FileKind.ROWS:
                    rows = self._load_rows(file, blocks)
            self._connection.execute(_named("note_loaded"), (file.number, rows if file.kind is FileKind.ROWS else 0))
        return rows

    def archive_keys(self) -> frozenset[str]:
        """See ``RestoreTarget.archive_keys``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            return frozenset(key for (key,) in self._connection.execute(_named("archive_keys")).fetchall())

    def take_file_back(self, file: FileManifest, rows: Sequence[str]) -> int:
        """See ``RestoreTarget.take_file_back``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            told = file.model_dump(mode="json", by_alias=True)
            return int(self._value(_named("take_file_back"), (Jsonb(told), list(rows))))

    def forget_archive_files(self, keys: Sequence[str]) -> int:
        """See ``RestoreTarget.forget_archive_files``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            gone = self._connection.execute(_named("forget_archive_files"), (list(keys),)).fetchall()
        return sum(rows for (rows,) in gone)

    def approve(self, rules_digest: str, run_id: UUID, until: datetime) -> None:
        """See ``RestoreTarget.approve``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            self._connection.execute(_named("let_replay"), (run_id,))
        write_approval(
            self._connection,
            self._roles,
            rules_digest=rules_digest,
            max_rows=_ANY_ROWS,
            until=until,
            run_name=_RUN_NAME,
        )

    def open_to_applications(self) -> None:
        """See ``RestoreTarget.open_to_applications``."""
        with translated(), self._connection.transaction():
            become_owner(self._connection, self._roles)
            self._connection.execute(_named("record_end"))
            self._connection.execute(_named("note_opened"))
            self._connection.execute(_named("end"))
            self._connection.execute(_named("end_approval"), (_RUN_NAME,))
            self._settle_grants()

    def _check(self, rules_digest: str, backup_id: str) -> None:
        row = self._connection.execute(_named("state")).fetchone()
        if row is None:
            raise self._refused("has no rules yet; wait for the operator, or run tenant-retention install")
        known, mode, suspended, under_way = row
        if known != rules_digest:
            raise self._refused("has other rules than the plan; write the plan anew, or run tenant-retention install")
        if mode != "Enforce" or suspended:
            raise self._refused(
                "does not let runs delete, so today's rules could not be applied to what comes back; set mode Enforce and end "
                "the suspension, then restore"
            )
        if under_way not in (None, backup_id):
            raise self._refused(f"has a restore of {under_way} under way; finish that one first: --backup {under_way}")
        if under_way is None and not self._beside:
            for table in self._tables:
                if self._value(_named("has_rows").format(table=sql.Identifier(table))):
                    raise self._refused(
                        f"has rows in {table}; if applications wrote them after the loss, give --beside-rows: they stay"
                    )

    def _load_rows(self, file: BackupFile, blocks: Iterator[bytes]) -> int:
        self._connection.execute(_named("create_months"), (file.table, file.born_from, file.born_to))
        self._connection.execute(_named("take_in_any"), (file.table, True))
        checks = self._value(_named("set_checks_aside"), (file.table,))
        rows = self._copy_rows(file, blocks)
        self._connection.execute(_named("put_checks_back"), (file.table, Jsonb(checks)))
        self._connection.execute(_named("take_in_any"), (file.table, False))
        return rows

    def _copy_rows(self, file: BackupFile, blocks: Iterator[bytes]) -> int:
        names = {"table": sql.Identifier(file.table), "columns": _listed(file.columns)}
        if not self._value(_named("is_beside")):
            return self._copy_in(_named("copy_rows").format(**names), blocks)
        # A key that is used again: the row that is there is the younger one, and stays.
        self._connection.execute(_named("stage_rows").format(**names))
        self._copy_in(_named("copy_staged_rows").format(**names), blocks)
        return self._connection.execute(_named("add_rows").format(**names)).rowcount

    def _load_holds(self, file: BackupFile, blocks: Iterator[bytes]) -> int:
        self._connection.execute(_named("stage_holds"))
        self._connection.execute(_named("open_stage"))
        self._copy_in(_named("copy_holds").format(columns=_listed(file.columns)), blocks)
        return self._connection.execute(_named("add_holds").format(columns=_listed(file.columns))).rowcount

    def _load_archive_files(self, file: BackupFile, blocks: Iterator[bytes]) -> int:
        self._connection.execute(_named("stage_archive_files"))
        self._connection.execute(_named("open_archive_stage"))
        self._copy_in(_named("copy_archive_files").format(columns=_listed(file.columns)), blocks)
        return self._connection.execute(_named("add_archive_files").format(columns=_listed(file.columns))).rowcount

    def _copy_in(self, query: sql.Composed, blocks: Iterator[bytes]) -> int:
        with self._connection.cursor() as cursor:
            with cursor.copy(query) as copy:
                for block in blocks:
                    copy.write(block)
            return cursor.rowcount

    def _settle_grants(self) -> None:
        self._connection.execute(statement("calls", "converge_grants"), (Jsonb(asdict(self._roles)),))

    def _value(self, query: sql.SQL | sql.Composed, arguments: tuple[object, ...] = ()) -> Any:
        row = self._connection.execute(query, arguments).fetchone()
        return row[0] if row else None

    def _refused(self, why: str) -> Invalid:
        return Invalid(f"{self._name}: the database {why}", reason="RestoreRefused")


def _named(name: str) -> sql.SQL:
    return statement("restoring", name)


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
