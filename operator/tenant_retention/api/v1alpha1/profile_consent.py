"""What a profile says of content that a person did not consent to (P10)."""

from typing import ClassVar

from pydantic import Field

from tenant_retention.api.v1alpha1 import profile_rules
from tenant_retention.api.v1alpha1.common import ApiModel, Identifier, Rule


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
