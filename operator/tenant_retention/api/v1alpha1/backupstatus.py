"""What the status of a policy says of its backups (T6)."""

from typing import Literal

from pydantic import Field

from tenant_retention.api.v1alpha1.common import DnsName, Duration, Instant, StatusModel


class BackupStatus(StatusModel):
    """The policy's backups, as they lie in their bucket."""

    schedule: Literal["Daily", "Weekly"] | None = Field(
        default=None, description="How often one is made; absent: none is made any more.", examples=["Daily"]
    )
    keep: Duration = Field(description="How long one is kept now.", examples=["P14D"])
    number: int | None = Field(
        default=None, ge=0, description="Whole backups that can be restored; absent: not looked for yet.", examples=[14]
    )
    bytes: int | None = Field(
        default=None, ge=0, description="Bytes of all of them, unfinished ones too.", examples=[73400320]
    )
    last_backup: Instant | None = Field(
        default=None, description="When the newest whole backup was taken.", examples=["2026-11-22T02:07:00Z"]
    )
    last_backup_bytes: int | None = Field(default=None, ge=0, description="Bytes of that one.", examples=[5242880])
    oldest_backup: Instant | None = Field(
        default=None, description="When the oldest was taken.", examples=["2026-11-08T02:07:00Z"]
    )
    overdue: int | None = Field(
        default=None, ge=0, description="Backups that should have gone by now (deletion debt).", examples=[0]
    )
    next_job: str | None = Field(
        default=None,
        max_length=40,
        description="When the next Job removes old ones, and makes one where it is due, UTC.",
        examples=["2026-11-23T02:07Z"],
    )
    key_secret: DnsName | None = Field(
        default=None,
        description="Secret with the key; keep a copy elsewhere: without it no backup can be restored.",
        examples=["acme-backup-key"],
    )
    message: str | None = Field(
        default=None,
        max_length=1024,
        description="What is not in the backups, and which keep comes.",
        examples=["in no backup, as their rows stay in their region: Analytical/APAC"],
    )
