"""What the status of a policy says of one category: its state, its times and its counts (X4)."""

from typing import Literal

from pydantic import Field

from tenant_retention.api.v1alpha1.common import DnsLabel, Duration, Instant, StatusModel

CategoryState = Literal["Enforced", "CountedOnly", "ApprovalRequired", "NotEnforced"]


class CategoryStatus(StatusModel):
    """One category of the policy."""

    name: DnsLabel = Field(description="Name of the category.", examples=["recordings"])
    state: CategoryState = Field(
        description=(
            "Enforced: runs delete what is due. CountedOnly: DryRun or suspended, debt counts on. ApprovalRequired: "
            "the guard holds the surplus back. NotEnforced: this version does not act on its clock, or it left the "
            "profile and its data stays."
        ),
        examples=["Enforced"],
    )
    message: str | None = Field(
        default=None,
        max_length=1024,
        description="Why the state is not Enforced, why the keep was shortened, or which times cannot be; the next step.",
        examples=["this version does not act on it: clock event Terminated"],
    )
    rows: int | None = Field(default=None, ge=0, description="Rows now; absent: not counted.", examples=[200000])
    objects: int | None = Field(default=None, ge=0, description="Objects now; absent: not counted.", examples=[2000])
    objects_counted_at: Instant | None = Field(
        default=None,
        description=(
            "When a run last counted the files that go by their last modification; due and overdue are counted on from then by "
            "time. Absent: no such files, or no run yet."
        ),
        examples=["2026-11-22T01:37:12Z"],
    )
    oldest: Instant | None = Field(
        default=None, description="Clock of the oldest item.", examples=["2026-11-08T01:37:12Z"]
    )
    min: Duration | None = Field(default=None, description="The profile's min.", examples=["P1Y"])
    max: Duration | None = Field(default=None, description="The profile's max.", examples=["P5Y"])
    keep: Duration | None = Field(
        default=None, description="The tenant's keep, or the profile's default.", examples=["P14D"]
    )
    effective_keep: str | None = Field(
        default=None,
        max_length=64,
        description="Keep that is enforced; shorter than `keep` where max leaves no room for runs and copies.",
        examples=["P14D"],
    )
    extended_keep: Duration | None = Field(
        default=None, description="Keep that was bought (T5); while it lasts it is the one in force.", examples=["P2Y"]
    )
    extended_until: Instant | None = Field(
        default=None,
        description="When the bought time ends; absent: nothing is bought, or for as long as the policy says so.",
        examples=["2027-12-31T00:00:00Z"],
    )
    leaves_live_store: Instant | None = Field(
        default=None,
        description="When the oldest item's keep ends: the next run deletes it from the live store, unless a hold keeps it.",
        examples=["2026-11-22T01:37:12Z"],
    )
    last_copy_gone: Instant | None = Field(
        default=None,
        description="When its last copy is gone at the latest, with the run that deletes it and the life of backups.",
        examples=["2026-12-10T01:37:12Z"],
    )
    next_deadline: Instant | None = Field(
        default=None,
        description="When the oldest item must have left the live store, so that every copy is gone by max.",
        examples=["2031-11-08T01:37:12Z"],
    )
    due: int | None = Field(default=None, ge=0, description="Items that the next run deletes.", examples=[120])
    overdue: int | None = Field(
        default=None, ge=0, description="Items past their deadline (deletion debt).", examples=[0]
    )
    held: int | None = Field(default=None, ge=0, description="Items that a hold keeps.", examples=[0])
    anomalies: int | None = Field(
        default=None, ge=0, description="Items without a usable time; never deleted by age (X8).", examples=[0]
    )
    anomalies_since: Instant | None = Field(
        default=None,
        description="When items without a usable time were first seen; absent: there are none.",
        examples=["2026-11-22T01:37:12Z"],
    )
    last_run_time: Instant | None = Field(
        default=None,
        description=(
            "When the last run ended that worked on this category, whatever its outcome (see `jobs`); interrupted ones do not "
            "count. Absent: none yet."
        ),
        examples=["2026-11-22T01:37:12Z"],
    )
    anonymize_after: Duration | None = Field(
        default=None, description="The tenant's age at which rows lose the person.", examples=["P90D"]
    )
    archive_after: Duration | None = Field(
        default=None, description="The tenant's age at which rows move to the archive.", examples=["P1Y"]
    )
    archived: int | None = Field(
        default=None,
        ge=0,
        description="Items of it that lie in the archive; they are among `rows`. Absent: there is no archive.",
        examples=[88000],
    )
    anonymize_due: int | None = Field(
        default=None, ge=0, description="Rows that the next run anonymizes; absent: no such rule.", examples=[120]
    )
    next_anonymization: Instant | None = Field(
        default=None,
        description="When the oldest row that still tells of a person is due to lose it; past: by the next run.",
        examples=["2027-02-06T01:37:12Z"],
    )
    against_consent: int | None = Field(
        default=None,
        ge=0,
        description="Content without consent that the last run found; the next takes it away (P10). Absent: not looked for.",
        examples=[0],
    )
    unmasked: int | None = Field(
        default=None,
        ge=0,
        description="Rows with unmasked digits that the last run found; the next blanks them (P11). Absent: not looked for.",
        examples=[0],
    )
    cached_keys: int | None = Field(
        default=None,
        ge=0,
        description="Keys of the category that the last run left in the cache; absent: it is not cached, or not looked for yet.",
        examples=[240],
    )
    unapproved: int | None = Field(
        default=None,
        ge=0,
        description="Media without approval past its time that the last run found; the next takes it away (M7). Absent: not looked for.",
        examples=[0],
    )
    missing_objects: int | None = Field(
        default=None,
        ge=0,
        description="Rows whose object is missing, as the nights found; absent: not looked for yet.",
        examples=[0],
    )
