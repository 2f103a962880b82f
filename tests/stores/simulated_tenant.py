"""One tenant on real stores whose days a test lets pass: the servers' clock is the test's, everything else is as it runs.

PostgreSQL reads the clock that the test sets. The bucket is real, but for its locks: no S3 server lets a test set its clock, so
``SimulatedLocks`` keeps them by the same clock (that a real bucket keeps them is shown in test_object_locks).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig
from psycopg import sql

from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.domain.definition import RetentionDefinition, TableDefinition
from tenant_retention.domain.plan_document import Mode
from tenant_retention.domain.ports.caches import EnforcementCache
from tenant_retention.domain.ports.enforcement import Claim, LockOutcome, ObjectDeletion, ObjectLock
from tenant_retention.domain.ports.files import FilePage
from tenant_retention.domain.ports.orphans import Place
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import Stores
from tests.stores.servers.clock import ServerClock
from tests.stores.servers.s3 import S3Server
from tests.stores.tenant_databases import Connection, TenantDatabase, TenantDatabases
from tests.support.enforcement import RecordedWorld, plan_of


class SimulatedLocks:
    """A bucket that knows the test's clock, and whose locks end by it."""

    def __init__(self, inner: S3ContentBucket, clock: ServerClock) -> None:
        self.modified: dict[str, datetime] = {}
        """When the test says that a key's files were modified: before then they are not there."""
        self._inner, self._clock = inner, clock
        self._until: dict[tuple[str, str | None], datetime] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def retain_objects(self, locks: Sequence[ObjectLock]) -> tuple[LockOutcome, ...]:
        """Locks, and never shortens a lock."""
        for lock in locks:
            known = self._until.get((lock.key, lock.version), lock.until)
            self._until[lock.key, lock.version] = max(known, lock.until)
        return tuple(LockOutcome(lock_id=lock.lock_id, error=None) for lock in locks)

    def delete_objects(self, claims: Sequence[Claim]) -> tuple[ObjectDeletion, ...]:
        """Refuses what is locked, deletes the rest for real."""
        locked = {claim.claim_id for claim in claims if self.locked(claim.key, claim.version)}
        done = self._inner.delete_objects([claim for claim in claims if claim.claim_id not in locked])
        return (*done, *(ObjectDeletion(claim_id=claim_id, error="AccessDenied") for claim_id in sorted(locked)))

    def list_files(self, prefix: str, begins_at: Place, limit: int) -> FilePage:
        """Says that it is the test's time: a store whose clock is not the database's is believed in nothing."""
        page = self._inner.list_files(prefix, begins_at, limit)
        dated = [
            each.model_copy(update={"modified": self.modified.get(each.key, each.modified)}) for each in page.files
        ]
        files = tuple(each for each in dated if each.key not in self.modified or each.modified <= self._clock.now())
        return page.model_copy(update={"files": files, "store_clock": self._clock.now()})

    def locked(self, key: str, version: str | None) -> bool:
        """Whether the object may not go now."""
        until = self._until.get((key, version))
        return until is not None and until > self._clock.now()


@dataclass(frozen=True)
class Written:
    """A row as a test writes it: ``clock`` is what its category counts from, ``born`` its birth. ``key``: of its object. ``more``: other
    columns."""

    table: str
    name: str
    born: datetime
    session: str | None = None
    clock: datetime | None = None
    key: str | None = None
    more: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def identity(self) -> str:
        """Its primary key where that is a UUID."""
        return str(uuid5(NAMESPACE_URL, f"{self.table}/{self.name}"))


@dataclass
class SimulatedTenant:
    """One tenant's databases by purpose and its bucket; ``sessions`` of the enforcer and of the owner, who looks, last as
    long as the tenant does."""

    rules: RetentionDefinition
    clock: ServerClock
    databases: Mapping[str, TenantDatabase]
    bucket: str
    storage: S3Connection
    sessions: Mapping[str, PostgresEnforcementDatabase]
    owners: Mapping[str, Connection]
    caches: dict[str, EnforcementCache] = field(default_factory=dict)
    content: SimulatedLocks = field(init=False)

    def __post_init__(self) -> None:
        self.content = SimulatedLocks(S3ContentBucket(self.storage, self.bucket), self.clock)

    def define(self, rules: RetentionDefinition, **more: Any) -> None:
        """What the operator does when the policy changes."""
        self.rules = rules
        for purpose, database in self.databases.items():
            database.apply(rules, purpose, **more)

    def night(self, mode: Mode = Mode.ENFORCE) -> RunResult:
        """One run of the engine at this instant by every clock."""
        at = self.clock.now()
        around = RecordedWorld(at)
        world = replace(around.world(), now=lambda: at, elapsed=time.monotonic)
        stores = Stores(self.sessions, {"Content": self.content}, self.caches)
        return expire(plan_of(self.rules, mode=mode), stores, uuid4(), world)

    def database_of(self, table: str) -> TenantDatabase:
        """The database that has the table."""
        return next(self.databases[each.database] for each in self.rules.categories if table in each.tables)

    def write(self, rows: Iterable[Written]) -> None:
        """The application writes rows, and their objects before them."""
        by_table: dict[str, list[Written]] = {}
        for row in rows:
            by_table.setdefault(row.table, []).append(row)
        for table, mine in by_table.items():
            columns = ordered_columns(self.rules.table(table))
            query = sql.SQL("COPY public.{} ({}) FROM STDIN").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            values = [self._values(row) for row in mine]
            with self.database_of(table).connect("app") as connection, connection.cursor() as cursor:
                with cursor.copy(query) as copy:
                    for found in values:
                        copy.write_row([found.get(column) for column in columns])

    def write_file(self, key: str, modified: datetime) -> None:
        """The application stores a file that no row names, so long ago."""
        self.storage.client.put_object(self.bucket, key, io.BytesIO(b"log"), 3)
        self.content.modified[key] = modified

    def _values(self, row: Written) -> dict[str, Any]:
        table = self.rules.table(row.table)
        values: dict[str, Any] = {column.name: "x" for column in table.columns if not column.nullable}
        by_uuid = next(column.type for column in table.columns if column.name == table.primary_key[0]) == "Uuid"
        values |= {table.born_at: row.born, table.primary_key[0]: row.identity if by_uuid else row.name}
        values |= dict.fromkeys(table.clock_columns, row.clock)
        # Open-ended fields (M2): no two rows have the same ones.
        values |= {column.name: json.dumps({row.name: [row.name]}) for column in table.columns if column.type == "Json"}
        if table.session_column:
            values[table.session_column] = row.session or (row.name if by_uuid else None)
        for category in self.rules.categories:
            if category.objects and category.objects.table == row.table:
                key = row.key or f"{row.table}/{row.name}"
                version = self.storage.client.put_object(self.bucket, key, io.BytesIO(b"sound"), 5).version_id
                values |= {category.objects.key_column: key, category.objects.version_column: version}
        return values | dict(row.more)

    def left(self, *purposes: str) -> set[tuple[str, str]]:
        """Table and primary key of every row that is there, in these databases or in all."""
        found = set()
        for purpose in purposes or self.databases:
            parts = [
                sql.SQL("SELECT {}, {}::text FROM public.{}").format(
                    sql.Literal(table.name), sql.Identifier(table.primary_key[0]), sql.Identifier(table.name)
                )
                for table in self.rules.tables_of(purpose)
            ]
            found |= set(self.owners[purpose].execute(sql.SQL(" UNION ALL ").join(parts)).fetchall())
        return found

    def persons(self, *purposes: str) -> set[tuple[str, str]]:
        """The rows that still have a phone number, in these databases or in all."""
        found = set()
        for purpose in purposes or self.databases:
            parts = [
                sql.SQL("SELECT {}, {}::text FROM public.{} WHERE {} IS NOT NULL").format(
                    sql.Literal(table.name), *map(sql.Identifier, (table.primary_key[0], table.name, column.name))
                )
                for table in self.rules.tables_of(purpose)
                for column in table.columns
                if column.role == "PhoneNumber"
            ]
            found |= set(self.owners[purpose].execute(sql.SQL(" UNION ALL ").join(parts)).fetchall())
        return found

    def keys(self) -> set[str]:
        """The keys that any version or marker is left of."""
        objects = self.storage.client.list_objects(self.bucket, recursive=True, include_version=True)
        return {str(each.object_name) for each in objects}


def ordered_columns(table: TableDefinition) -> list[str]:
    """All columns of a table."""
    return [table.born_at, *(column.name for column in table.columns)]


@contextmanager
def simulated_tenant(
    rules: RetentionDefinition, databases: TenantDatabases, clock: ServerClock, s3: S3Server
) -> Iterator[SimulatedTenant]:
    """A tenant of its own with these rules; gone afterwards."""
    purposes = sorted({category.database for category in rules.categories} | set(rules.database_names()))
    with ExitStack() as closing:
        made = {purpose: closing.enter_context(databases.having(rules, purpose)) for purpose in purposes}
        storage = closing.enter_context(S3Connection(s3.endpoint, s3.administrator))
        bucket = f"simulated-{uuid4().hex[:20]}"
        storage.client.make_bucket(bucket)
        storage.client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
        sessions = {purpose: database.enforcer() for purpose, database in made.items()}
        for session in sessions.values():
            closing.callback(session.close)
        owners = {purpose: closing.enter_context(database.as_owner()) for purpose, database in made.items()}
        yield SimulatedTenant(rules, clock, made, bucket, storage, sessions, owners)
