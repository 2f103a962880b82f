"""The plan document: what a CronJob pod (ConfigMap ``plan.json``) or ``tenant-retention --plan plan.yaml`` is told to do.

It holds no secret: credentials are read from binding directories (servicebinding.io), one file per key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from uuid import UUID

from tenant_retention.domain.backups import Frequency
from tenant_retention.domain.definition import RetentionDefinition, Value
from tenant_retention.domain.names import Place


class Mode(StrEnum):
    """DryRun reports what Enforce would do, by the same decision (X7)."""

    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"


class Task(StrEnum):
    """What a pod does with the plan."""

    EXPIRE = "expire"
    BACKUP = "backup"
    REQUESTS = "requests"


class StoreBinding(Value):
    """A store of the run: its purpose (Analytical, Content ...) and the directory with its binding files. ``region`` and
    ``unit``: of a database in a further region, and of one that a unit has to itself (D3). ``writer``: of an archive bucket,
    the binding of the identity that stores files, where the first one only reads and deletes; empty: the first one may."""

    purpose: str
    binding: str
    region: str = ""
    unit: str = ""
    writer: str = ""

    @property
    def place(self) -> Place:
        """Which store of the policy it is."""
        return Place(self.purpose, self.region, self.unit)


class BackupPlan(Value):
    """Where and how backups are made. ``keep``: a duration; ``frequency`` None: none is made, old ones still go.

    ``bucket``: binding of the identity that lists and removes; ``writer``: of the one that puts and gets; ``key``: directory
    whose file ``key`` has 64 hex digits. ``key_id``: fingerprint of the only key that may be used; empty: any.
    """

    keep: str
    frequency: Frequency | None = Frequency.DAILY
    bucket: str
    writer: str
    key: str
    key_id: str = ""


class SubjectSource(Value):
    """Whom a request is about: the directory of its Secret, one file a key. ``region``: for numbers without a country."""

    request: UUID
    subject: str
    region: str | None = None


class PlanDocument(Value):
    """One policy's run. ``definition`` decides; the database refuses the run if its own rules digest differs.

    ``categories``: limits the run to these (empty: all); it is judged by these, and never counts as a night's run.
    ``awaited``: purposes of buckets and caches that are not there yet: what needs one fails alone (M10).
    ``batch_milliseconds``: aim of one keyset batch. ``subjects``: of a run of task requests, whom it looks for.
    """

    version: Literal[1] = 1
    mode: Mode = Mode.ENFORCE
    task: Task = Task.EXPIRE
    definition: RetentionDefinition
    rules_digest: str
    databases: tuple[StoreBinding, ...]
    buckets: tuple[StoreBinding, ...] = ()
    caches: tuple[StoreBinding, ...] = ()
    awaited: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    batch_milliseconds: int = 150
    backup: BackupPlan | None = None
    subjects: tuple[SubjectSource, ...] = ()
