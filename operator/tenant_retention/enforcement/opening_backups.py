"""Opens what a night's backup needs: the databases by their backup logins, the backup bucket by two identities, the key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from tenant_retention.adapters.bindings import S3Binding, read_backup_key, read_postgres_binding, read_s3_binding
from tenant_retention.adapters.postgres.connections import Timeouts, connect
from tenant_retention.adapters.postgres.copying import PostgresBackupSource
from tenant_retention.adapters.s3.backups import S3BackupBucket
from tenant_retention.adapters.s3.connection import S3Connection
from tenant_retention.domain.backups import key_id
from tenant_retention.domain.bucket_identities import AccessKey
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.databases import Group
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.plan_document import PlanDocument
from tenant_retention.enforcement.backing_up import BackupStores
from tenant_retention.enforcement.opening import APPLICATION_NAME, server_access

_TIMEOUTS = Timeouts(statement=timedelta(hours=4))
"""One statement reads a whole partition, as fast as the bucket takes it."""


@contextmanager
def open_backup_stores(plan: PlanDocument, base: Path) -> Iterator[BackupStores]:
    """The plan's stores; relative binding directories are below ``base``. Raises Invalid naming the file or field."""
    with ExitStack() as closing:
        bucket, key = open_backup_bucket(plan, base, closing)
        sources = {}
        for store in plan.databases:
            access = server_access(read_postgres_binding(backup_binding(base / store.binding)))
            opened = partial(connect, access, application_name=APPLICATION_NAME, timeouts=_TIMEOUTS)
            sources[store.place.name] = PostgresBackupSource(opened)
        yield BackupStores(sources, bucket, key)


def open_backup_bucket(
    plan: PlanDocument, base: Path, closing: ExitStack, *, reading: bool = False
) -> tuple[S3BackupBucket, bytes]:
    """The bucket that backups lie in, and the key that seals them; ``closing`` ends its connections.

    ``reading``: a backup is to be read. Where none is to be made or read neither key nor writer is needed: old ones go also
    when both are lost.
    """
    backup = plan.backup
    if backup is None:
        raise Invalid("backup: is missing; this plan makes none", reason="InvalidPlan", field="backup")
    binding = read_s3_binding(base / backup.bucket)
    remover = _connection(binding, closing)
    if backup.frequency is None and not reading:
        return S3BackupBucket(remover, remover, binding.bucket), b""
    key = read_backup_key(base / backup.key)
    if backup.key_id and key_id(key) != backup.key_id:
        raise Invalid(
            f"{base / backup.key}: this is another key than the one that sealed this tenant's backups; put that one back",
            reason="BackupKeyWrong",
            field="backup.key",
        )
    return S3BackupBucket(_connection(read_s3_binding(base / backup.writer), closing), remover, binding.bucket), key


def backup_binding(directory: Path) -> Path:
    """The directory of the database's backup login; a plan that is run from a shell names the enforcer's beside it."""
    name = directory.name.removesuffix(f"-{Group.ENFORCER.value}")
    return directory if name == directory.name else directory.with_name(f"{name}-{Group.BACKUP.value}")


def _connection(binding: S3Binding, closing: ExitStack) -> S3Connection:
    endpoint = S3Endpoint(url=binding.endpoint, region=binding.region, ca=binding.ca)
    return closing.enter_context(S3Connection(endpoint, AccessKey(binding.access_key, binding.secret_key)))
