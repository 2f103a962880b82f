"""An archive with backups: a database with a backup login, a bucket with the two identities that the job has, and the key."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tenant_retention.adapters.bindings import read_backup_key
from tenant_retention.adapters.iam.aws import AwsIdentities
from tenant_retention.adapters.s3.administration import S3BucketAdministration
from tenant_retention.adapters.s3.backups import S3BackupBucket
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.adapters.sealing import unseal, verified
from tenant_retention.cli.installing import install
from tenant_retention.domain.backups import BackupFile, FileKind, Frequency, Manifest, key_of, manifest_key
from tenant_retention.domain.bucket_identities import AccessKey, BucketRole, Iam
from tenant_retention.domain.bucket_steps import IssueKey
from tenant_retention.domain.buckets import plan_bucket, want_bucket
from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.plan_document import BackupPlan, PlanDocument, Task
from tenant_retention.domain.ports.evidence import ActEvidence
from tenant_retention.domain.servers import ServerAccess
from tenant_retention.enforcement.backing_up import BackupStores, back_up
from tenant_retention.enforcement.backup_results import BackupResult
from tenant_retention.enforcement.opening_backups import open_backup_bucket, open_backup_stores
from tests.stores.enforcement_archive import LiveArchive, Stencil, live_archive, write_binding
from tests.stores.servers.s3 import S3Server
from tests.support.enforcement import RecordedWorld, archive

KEY = "acme-backup-key"


@dataclass
class BackedUp:
    """The archive, and what its backups need; ``around``: what the last run told."""

    acme: LiveArchive
    around: RecordedWorld

    def plan(self, keep: str = "P14D", frequency: Frequency | None = Frequency.DAILY) -> PlanDocument:
        """The plan of the backup job."""
        backup = BackupPlan(
            keep=keep,
            frequency=frequency,
            bucket="acme-backups-enforcer",
            writer="acme-backups-app",
            key=KEY,
        )
        return self.acme.plan().model_copy(update={"task": Task.BACKUP, "backup": backup})

    def define(self, definition: RetentionDefinition) -> None:
        """Makes the database what the operator makes of one with backups."""
        self.acme.definition = definition
        for _ in install(self.write_expire_plan(), self.acme.directory, self.acme.directory / "administrator"):
            pass

    def write_expire_plan(self) -> PlanDocument:
        """Into the file that the program is started with: the night's plan, which is the one that is installed by."""
        plan = self.plan().model_copy(update={"task": Task.EXPIRE})
        self.acme.plan_file.write_text(plan.model_dump_json(by_alias=True))
        return plan

    def write_plan(self) -> None:
        """Into the file that the program is started with."""
        self.acme.plan_file.write_text(self.plan().model_dump_json(by_alias=True))

    def run(
        self,
        days_ago: float = 0,
        *,
        keep: str = "P14D",
        frequency: Frequency | None = Frequency.DAILY,
        wrap: Callable[[BackupStores], BackupStores] = lambda stores: stores,
    ) -> BackupResult:
        """One night's backup, so many days ago by the job's own clock."""
        self.around = RecordedWorld()
        shift = timedelta(days=days_ago)
        world = replace(self.around.world(), now=lambda: datetime.now(UTC) - shift, elapsed=time.monotonic)
        plan = self.plan(keep, frequency)
        with open_backup_stores(plan, self.acme.directory) as stores:
            return back_up(plan, wrap(stores), uuid4(), world)

    @property
    def key(self) -> bytes:
        """The tenant's key."""
        return read_backup_key(self.acme.directory / KEY)

    def bucket(self, closing: ExitStack) -> S3BackupBucket:
        """The bucket as the job sees it."""
        bucket, _ = open_backup_bucket(self.plan(), self.acme.directory, closing)
        return bucket

    def stored_keys(self) -> set[str]:
        """Everything that any version is left of."""
        with ExitStack() as closing:
            return {each.key for each in self.bucket(closing).objects()}

    def manifest(self, backup_id: str) -> Manifest:
        """The manifest of a backup."""
        with ExitStack() as closing, self.bucket(closing).read(manifest_key(backup_id)) as blocks:
            return Manifest.model_validate_json(verified(b"".join(blocks), self.key))

    def lines(self, backup_id: str, file: BackupFile) -> list[str]:
        """The rows of one file in COPY's text form."""
        with ExitStack() as closing, self.bucket(closing).read(key_of(backup_id, file.number)) as blocks:
            return b"".join(unseal(blocks, self.key, file.context(backup_id))).decode().splitlines()

    def ids(self, backup_id: str) -> set[str]:
        """Every row of the backup as ``table:id``, as ``LiveArchive.left`` tells what is in the database."""
        files = self.manifest(backup_id).files
        return {
            f"{file.table}:{line.split(chr(9))[file.columns.index('id')]}"
            for file in files
            if file.kind is FileKind.ROWS
            for line in self.lines(backup_id, file)
        }

    def acts(self) -> list[ActEvidence]:
        """What is recorded beside the runs, oldest first, in a chain that is whole."""
        observer = self.acme.observer()
        assert observer.observe().chain_intact
        return [link.act for link in reversed(observer.evidence(100)) if link.act is not None]

    def wipe(self) -> None:
        """Empties the bucket."""
        with ExitStack() as closing:
            bucket = self.bucket(closing)
            bucket.remove(tuple(bucket.objects()))


@pytest.fixture(scope="session")
def backups_stencil(
    postgres_server: ServerAccess, seaweedfs: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Stencil:
    """An archive with backups, installed once on each PostgreSQL: one of its own, since others would take its login away."""
    acme = live_archive(postgres_server, seaweedfs, tmp_path_factory.mktemp("backups"), archive(back="P15M"))
    _make_bucket(acme)
    write_binding(acme.directory / KEY, key=secrets.token_hex(32))
    BackedUp(acme, RecordedWorld()).define(acme.definition)
    return Stencil(acme)


@pytest.fixture
def backed_up(backups_stencil: Stencil) -> Iterator[BackedUp]:
    """A fresh archive without any backup."""
    made = BackedUp(backups_stencil.fresh(), RecordedWorld())
    made.write_expire_plan()
    yield made
    made.wipe()


def _make_bucket(acme: LiveArchive) -> None:
    identity = replace(acme.identity, purpose="Backups")
    wanted = want_bucket(identity, "00000000-0000-0000-0000-000000000002", Iam.AWS, object_lock=False)
    with S3Connection(acme.s3.endpoint, acme.s3.administrator) as connection:
        administration = S3BucketAdministration(connection, AwsIdentities(connection))
        for step in plan_bucket(wanted, administration.observe(wanted), {}, in_ledger=True):
            issued = administration.apply(step)
            if isinstance(step, IssueKey) and step.role is not BucketRole.READER:
                assert issued is not None
                _write(acme, step.role, wanted.name, issued)


def _write(acme: LiveArchive, role: BucketRole, bucket: str, key: AccessKey) -> None:
    write_binding(
        acme.directory / f"acme-backups-{role.value}",
        type="s3",
        BUCKET_NAME=bucket,
        AWS_ENDPOINT_URL=acme.s3.endpoint.url,
        AWS_DEFAULT_REGION=acme.s3.endpoint.region,
        AWS_ACCESS_KEY_ID=key.key_id,
        AWS_SECRET_ACCESS_KEY=key.secret,
        **{"ca.crt": acme.s3.endpoint.ca or ""},
    )
