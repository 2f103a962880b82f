"""A whole archive on real stores: a database made by ``tenant-retention install``, a bucket with an enforcer of its own.

``LiveArchive`` is the arranging and looking side of the tests; the engine only ever gets the plan file and the bindings.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from minio import Minio
from minio.deleteobjects import DeleteObject
from psycopg import sql

from tenant_retention.adapters.bindings import read_postgres_binding, read_s3_binding
from tenant_retention.adapters.iam.aws import AwsIdentities
from tenant_retention.adapters.postgres.enforcement import PostgresEnforcementDatabase
from tenant_retention.adapters.postgres.observation import PostgresObserverDatabase
from tenant_retention.adapters.postgres.schema import note_clock, refuse_runs, write_approval
from tenant_retention.adapters.s3.administration import S3BucketAdministration
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.s3.content import S3ContentBucket
from tenant_retention.cli.installing import install
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam
from tenant_retention.domain.bucket_steps import IssueKey
from tenant_retention.domain.buckets import plan_bucket, want_bucket
from tenant_retention.domain.databases import DatabaseRoles
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.names import StoreIdentity
from tenant_retention.domain.plan_document import Mode, PlanDocument, StoreBinding
from tenant_retention.domain.ports.enforcement import Claim
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.expire import expire
from tenant_retention.enforcement.opening import open_stores, server_access
from tenant_retention.enforcement.results import RunResult
from tenant_retention.enforcement.world import Stores, World
from tests.stores.enforcer_session import EnforcerSession
from tests.stores.servers.postgres import connect_as
from tests.stores.servers.s3 import S3Server
from tests.support.enforcement import RecordedWorld, archive, plan_of
from tests.support.log_files import archive_with_logs

Hook = Callable[[str, int], None]
"""Gets a call's name and how many of that name there were, this one included."""


class Hooked:
    """Passes calls on to a store and tells the test before each."""

    def __init__(self, inner: object, hook: Hook) -> None:
        self._inner, self._hook = inner, hook
        self._calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._calls[name] += 1
            self._hook(name, self._calls[name])
            return getattr(self._inner, name)(*arguments, **named)

        return call


@dataclass
class LiveArchive:
    """One tenant's database and bucket. ``directory`` holds plan.json and the bindings, as a pod sees them."""

    server: ServerAccess
    s3: S3Server
    directory: Path
    definition: RetentionDefinition
    around: RecordedWorld = field(default_factory=RecordedWorld)
    more_buckets: tuple[StoreBinding, ...] = ()

    @property
    def identity(self) -> StoreIdentity:
        """What names database and bucket."""
        return StoreIdentity(
            self.definition.installation, self.definition.namespace, self.definition.policy, "Analytical"
        )

    @property
    def roles(self) -> DatabaseRoles:
        """The database's roles."""
        return DatabaseRoles.of(self.identity.database())

    @property
    def plan_file(self) -> Path:
        """What the engine is started with."""
        return self.directory / "plan.json"

    def define(self, definition: RetentionDefinition, mode: Mode = Mode.ENFORCE) -> None:
        """Makes the database enforce this definition, and writes the plan that belongs to it."""
        self.definition = definition
        plan = self.plan(mode)
        self.plan_file.write_text(plan.model_dump_json(by_alias=True))
        for _ in install(plan, self.directory, self.directory / "administrator"):
            pass

    def plan(self, mode: Mode = Mode.ENFORCE, categories: tuple[str, ...] = ()) -> PlanDocument:
        """The plan over this archive's bindings."""
        plan = plan_of(self.definition, mode=mode, categories=categories)
        return plan.model_copy(
            update={
                "databases": (replace_binding(plan.databases[0], "acme-analytical-enforcer"),),
                "buckets": (replace_binding(plan.buckets[0], "acme-content-enforcer"), *self.more_buckets),
            }
        )

    def run(
        self,
        mode: Mode = Mode.ENFORCE,
        categories: tuple[str, ...] = (),
        *,
        hook: Hook | None = None,
        patient: bool = False,
        wrap_bucket: Callable[[Any], Any] | None = None,
    ) -> RunResult:
        """One run of the engine in this process, on the bindings' own logins, at the real time.

        ``hook``: called before every call on a store. ``patient``: pauses really last. ``wrap_bucket``: what stands
        between engine and bucket.
        """
        self.around = RecordedWorld()
        world = replace(self.around.world(), now=lambda: datetime.now(UTC), elapsed=time.monotonic)
        if patient:
            world = replace(world, pause=time.sleep)
        plan = self.plan(mode, categories)
        if hook is not None:
            # Month by month, so that a test can step in between two.
            plan = plan.model_copy(update={"batch_milliseconds": 1})
        with open_stores(plan, self.directory) as stores:
            if wrap_bucket is not None:
                stores = replace(stores, buckets={name: wrap_bucket(store) for name, store in stores.buckets.items()})
            if hook is not None:
                databases = {name: Hooked(store, hook) for name, store in stores.databases.items()}
                buckets = {name: Hooked(store, hook) for name, store in stores.buckets.items()}
                stores = Stores(databases, buckets)
            return expire(plan, stores, uuid4(), world)

    def enforcer(self) -> PostgresEnforcementDatabase:
        """A session of the enforcer login."""
        return EnforcerSession(
            lambda: self.login("enforcer"),
            lambda: connect_as(replace(self.server, database=self.identity.database())),
        )

    def observer(self) -> PostgresObserverDatabase:
        """The observer's eye."""
        return PostgresObserverDatabase(lambda: self.login("observer"))

    def login(self, group: str) -> psycopg.Connection[Any]:
        """A session by the binding of this group."""
        return connect_as(server_access(read_postgres_binding(self.directory / f"acme-analytical-{group}")))

    @contextmanager
    def owner(self) -> Iterator[psycopg.Connection[Any]]:
        """A session as the database's owner, for arranging what no login of the tenant may."""
        with connect_as(replace(self.server, database=self.identity.database())) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.roles.owner)))
            yield connection

    def write(self, table: str, rows: Iterable[Sequence[object]], columns: Sequence[str]) -> None:
        """Copies rows in as the application, with the rights of its login."""
        with self.login("app") as connection:
            copy_rows(connection, table, rows, columns)

    def call(self, name: str, born_at: datetime, *tables: str, closed_at: datetime | None = None) -> None:
        """One call in each of these tables; its recording with an object in the bucket."""
        with self.login("app") as connection:
            for table in tables:
                columns, row = ["id", "session_id", "started_at"], [name, name, born_at]
                if table == "requests":
                    columns, row = [*columns, "caller"], [*row, f"+47{name}"]
                if table == "recordings":
                    columns += ["object_key", "object_version"]
                    row += [f"audio/{name}", self.put(f"audio/{name}")]
                if table == "cases":
                    columns.append("closed_at")
                    row.append(closed_at)
                copy_rows(connection, table, [row], columns)

    def call_with_object_of(self, other: str, name: str, born_at: datetime, version: str | None) -> None:
        """A recording whose row names the object of another call as well."""
        columns = ("id", "session_id", "started_at", "object_key", "object_version")
        self.write("recordings", [(name, name, born_at, f"audio/{other}", version)], columns)

    def name_version(self, name: str, version: str) -> None:
        """The application fills in the version that a recording's row left open."""
        with self.login("app") as connection:
            connection.execute("UPDATE public.recordings SET object_version = %s WHERE id = %s", [version, name])

    def call_without_object(self, name: str, born_at: datetime) -> None:
        """A recording's row whose object was never stored."""
        self.write("recordings", [(name, name, born_at)], ("id", "session_id", "started_at"))

    def old_month(self, table: str, birth: datetime) -> None:
        """A month as it lies there from before ``back`` was made shorter; nobody makes such months any more."""
        first = birth.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        last = (first + timedelta(days=31)).replace(day=1)
        name = f"{table}_p{first:%Y%m}"
        with self.owner() as connection:
            connection.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS public.{} PARTITION OF public.{} FOR VALUES FROM ({}) TO ({})"
                ).format(sql.Identifier(name), sql.Identifier(table), sql.Literal(first), sql.Literal(last))
            )
            connection.execute("SELECT retention.guard_relation(%s, %s)", [name, table])

    def left(self) -> set[str]:
        """Every row that is there, as ``table:id``."""
        with self.owner() as connection:
            return {
                f"{table.name}:{identity}"
                for table in self.definition.tables
                for (identity,) in connection.execute(
                    sql.SQL("SELECT id FROM public.{}").format(sql.Identifier(table.name))
                )
            }

    def callers(self) -> set[str]:
        """The calls whose request still says who called."""
        with self.owner() as connection:
            return {name for (name,) in connection.execute("SELECT id FROM public.requests WHERE caller IS NOT NULL")}

    def hold(self, session: str) -> None:
        """Places a legal hold on one session."""
        with self.owner() as connection:
            connection.execute("INSERT INTO retention.hold (session) VALUES (%s)", [session])

    def hold_category(self, category: str) -> None:
        """Places a legal hold on a whole category."""
        with self.owner() as connection:
            connection.execute("INSERT INTO retention.hold (category) VALUES (%s)", [category])

    def write_log_row(self, key: str) -> None:
        """A young recording whose object lies below the logs' prefix."""
        columns = ("id", "session_id", "started_at", "object_key")
        self.write("recordings", [(key, key, datetime.now(UTC), key)], columns)

    def release(self) -> None:
        """What becomes of the database when its policy goes."""
        with connect_as(replace(self.server, database=self.identity.database())) as connection:
            refuse_runs(connection, self.roles)

    @contextmanager
    def restoring(self, replay: UUID | None = None) -> Iterator[None]:
        """While a backup is restored; ``replay``: the run that the restore lets through."""
        with self.owner() as connection:
            begin = "INSERT INTO retention.restoring (backup_id, replay) VALUES ('20260101T000000Z-00000000', %s)"
            connection.execute(begin, (replay,))
            try:
                yield
            finally:
                connection.execute("DELETE FROM retention.restoring")

    def approve(self, max_rows: int, until: datetime) -> None:
        """What a RetentionRun's approval becomes."""
        with connect_as(replace(self.server, database=self.identity.database())) as connection:
            write_approval(
                connection,
                self.roles,
                rules_digest=self.definition.rules_digest(),
                max_rows=max_rows,
                until=until,
                run_name="approve-me",
            )

    def operator_looks(self, clock: datetime) -> bool:
        """The operator's look, by its own clock; whether the clocks agree."""
        with connect_as(replace(self.server, database=self.identity.database())) as connection:
            return note_clock(connection, self.roles, lambda: clock)

    def let_pass(self, period: timedelta) -> None:
        """All that was seen lies so much longer ago: as if every clock here had jumped ahead by it."""
        with self.owner() as connection:
            connection.execute("UPDATE retention.operator_clock SET seen_at = seen_at - %s", [period])
            connection.execute("UPDATE retention.run SET started_at = started_at - %s", [period])

    def withdraw_approvals(self) -> None:
        """Lets every approval end now."""
        with self.owner() as connection:
            connection.execute("UPDATE retention.approval SET until = now()")

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return replace(self.identity, purpose="Content").bucket()

    @cached_property
    def client(self) -> Minio:
        """The application's side of the bucket, here with the administrator's key."""
        return S3Connection(self.s3.endpoint, self.s3.administrator).client

    def put(self, key: str) -> str:
        """Writes one object; its version."""
        version = self.client.put_object(self.bucket, key, io.BytesIO(b"sound"), 5).version_id
        assert version, "the bucket keeps versions"
        return str(version)

    def objects(self) -> set[tuple[str, str | None]]:
        """Every version and marker in the bucket."""
        found = self.client.list_objects(self.bucket, recursive=True, include_version=True)
        return {(str(each.object_name), each.version_id) for each in found}

    def empty_bucket(self) -> None:
        """Takes everything away, locked or not, as only an administrator may."""
        everything = [DeleteObject(key, version) for key, version in self.objects()]
        failed = list(self.client.remove_objects(self.bucket, everything, bypass_governance_mode=True))
        assert not failed, failed

    def content_bucket(self) -> S3ContentBucket:
        """The bucket as the enforcer's own key sees it."""
        binding = read_s3_binding(self.directory / "acme-content-enforcer")
        return S3ContentBucket(
            S3Connection(self.s3.endpoint, AccessKey(binding.access_key, binding.secret_key)), self.bucket
        )

    def keys(self) -> set[str]:
        """The keys that anything is left of."""
        return {key for key, _ in self.objects()}


def copy_rows(
    connection: psycopg.Connection[Any], table: str, rows: Iterable[Sequence[object]], columns: Sequence[str]
) -> None:
    """Into one table, as whoever's session that is."""
    names = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
    query = sql.SQL("COPY public.{} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in rows:
            copy.write_row(row)


def real_world() -> World:
    """The world as the program has it, without anybody listening."""
    around = RecordedWorld()
    return World(lambda: datetime.now(UTC), time.monotonic, time.sleep, lambda: False, around)


def replace_binding(store: Any, binding: str) -> Any:
    """The store with another binding directory."""
    return store.model_copy(update={"binding": binding})


def live_archive(
    server: ServerAccess, s3: S3Server, directory: Path, definition: RetentionDefinition | None = None
) -> LiveArchive:
    """Makes database and bucket of an installation of their own, so that tests do not meet."""
    definition = (definition or archive()).model_copy(update={"installation": uuid4().hex})
    made = LiveArchive(server, s3, directory, definition)
    write_binding(
        directory / "administrator",
        type="postgresql",
        host=server.host,
        port=str(server.port),
        database=server.database,
        username=server.user,
        password=server.password,
        **{"ca.crt": server.ca_file.read_text()},
    )
    made.define(definition)
    key = _make_bucket(made)
    write_binding(
        directory / "acme-content-enforcer",
        type="s3",
        BUCKET_NAME=made.bucket,
        AWS_ENDPOINT_URL=s3.endpoint.url,
        AWS_DEFAULT_REGION=s3.endpoint.region,
        AWS_ACCESS_KEY_ID=key.key_id,
        AWS_SECRET_ACCESS_KEY=key.secret,
        **{"ca.crt": s3.endpoint.ca or ""},
    )
    return made


@dataclass
class Stencil:
    """An installed archive that tests get fresh copies of: installing takes seconds, copying a database a fraction."""

    made: LiveArchive

    def __post_init__(self) -> None:
        self.definition = self.made.definition
        self.original = self.made.identity.database()
        with connect_as(self.made.server) as connection:
            self._copy(connection, self.original, f"{self.original[:40]}_stencil")

    def fresh(self) -> LiveArchive:
        """The archive as it was installed: no rows, no runs, no objects."""
        with connect_as(self.made.server) as connection:
            drop_database(connection, self.original)
            self._copy(connection, f"{self.original[:40]}_stencil", self.original)
        self.made.definition = self.definition
        self.made.more_buckets = ()
        self.made.plan_file.write_text(self.made.plan().model_dump_json(by_alias=True))
        self.made.empty_bucket()
        return self.made

    def _copy(self, connection: psycopg.Connection[Any], source: str, target: str) -> None:
        names = {"source": sql.Identifier(source), "target": sql.Identifier(target)}
        owner = sql.Identifier(self.made.roles.owner)
        copy = sql.SQL("CREATE DATABASE {target} TEMPLATE {source} OWNER {owner} STRATEGY FILE_COPY")
        connection.execute(copy.format(owner=owner, **names))


@pytest.fixture(scope="session")
def archive_stencil(
    postgres_server: ServerAccess, seaweedfs: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Stencil:
    """The archive of most tests, installed once on each PostgreSQL."""
    directory = tmp_path_factory.mktemp("archive")
    return Stencil(live_archive(postgres_server, seaweedfs, directory, archive(back="P15M")))


@pytest.fixture(scope="session")
def logs_stencil(
    postgres_server: ServerAccess, seaweedfs: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Stencil:
    """The archive with logs as rows and files (M5), installed once on each PostgreSQL."""
    return Stencil(live_archive(postgres_server, seaweedfs, tmp_path_factory.mktemp("logs"), archive_with_logs()))


@pytest.fixture
def acme(archive_stencil: Stencil) -> LiveArchive:
    """A fresh archive on real stores."""
    return archive_stencil.fresh()


def keep_young(acme: LiveArchive, minimum: str = "P7D", **more: Any) -> None:
    """Recordings live so long at least."""
    rules = archive(back="P15M", recordings_min=minimum, **more)
    acme.define(rules.model_copy(update={"installation": acme.definition.installation}))


def refused(acme: LiveArchive) -> set[str]:
    """The keys that the enforcer's own key cannot delete."""
    named = sorted(acme.objects())
    claims = [Claim(claim_id=number, key=key, version=version) for number, (key, version) in enumerate(named)]
    done = acme.content_bucket().delete_objects(claims)
    return {named[each.claim_id][0] for each in done if each.error is not None}


def drop_archive(made: LiveArchive) -> None:
    """Removes the database; the servers are thrown away with everything else."""
    with connect_as(made.server) as connection:
        drop_database(connection, made.identity.database())


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Removes a database with whoever is in it, an autovacuum worker too."""
    target = sql.Identifier(name)
    try:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(target))
    except psycopg.errors.InsufficientPrivilege:
        # FORCE may not end an autovacuum worker that a superuser's process runs; the plain command sends it away itself.
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(target))


def write_binding(directory: Path, **files: str) -> None:
    """A binding directory, as a Secret is mounted."""
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def _make_bucket(made: LiveArchive) -> AccessKey:
    connection = S3Connection(made.s3.endpoint, made.s3.administrator)
    administration = S3BucketAdministration(connection, AwsIdentities(connection))
    identity = replace(made.identity, purpose="Content")
    wanted = want_bucket(identity, "00000000-0000-0000-0000-000000000002", Iam.AWS, object_lock=True)
    key = None
    for step in plan_bucket(wanted, administration.observe(wanted), {}, in_ledger=True):
        issued = administration.apply(step)
        if isinstance(step, IssueKey) and step.role is BucketRole.ENFORCER:
            key = issued
    assert key is not None, "the bucket's enforcer has a key"
    return key


def days_ago(days: float) -> datetime:
    """The instant that many days before now."""
    return datetime.now(UTC) - timedelta(days=days)


def as_json(text: str) -> Any:
    """Parsed JSON."""
    return json.loads(text)
