"""What a profile says of content that a person did not consent to (P10), and of media that nobody approved yet (M7)."""

from typing import ClassVar

from pydantic import Field

from tenant_retention.api.v1alpha1 import profile_rules
from tenant_retention.api.v1alpha1.common import ApiModel, Duration, Identifier, Rule


class Consent(ApiModel):
    """Which flags of a session's record keep its content from being stored (P10)."""

    table: Identifier = Field(
        description="Table of the record (`contentOf`) whose row of the same session has the flags.",
        examples=["requests"],
    )
    refused_column: Identifier = Field(
        description="Boolean column: true where the person denied the content.", examples=["deny_recording"]
    )
    forced_column: Identifier | None = Field(
        default=None,
        description="Boolean column: true where recording was forced, so that it needs acceptance.",
        examples=["recording_forced"],
    )
    accepted_column: Identifier | None = Field(
        default=None,
        description="Boolean column: true where the person accepted; required with forcedColumn.",
        examples=["recording_accepted"],
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.CONSENT


class Quarantine(ApiModel):
    """Until when media waits for the customer's approval; it is not yet what its category keeps (M7)."""

    approved_column: Identifier = Field(
        description="Timestamp column, in every table of the category: when it was approved; written once, NULL: it waits.",
        examples=["approved_at"],
    )
    keep: Duration = Field(
        description="From birth: what is not approved by this age is found, and removed by the next run; `min` does not apply.",
        examples=["P30D"],
    )
    only_column: Identifier | None = Field(
        default=None,
        description="Text column that says which rows need an approval; absent: all do.",
        examples=["source"],
    )
    only_value: str | None = Field(
        default=None, max_length=100, description="Its value in rows that need an approval.", examples=["artist"]
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.QUARANTINE
