"""What a profile says of copies of a category in the tenant's cache (T1, T6)."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tenant_retention.api.v1alpha1 import profile_rules
from tenant_retention.api.v1alpha1.common import ApiModel, Identifier, Rule


class CacheLink(ApiModel):
    """Which keys of the tenant's cache belong to the category, and which rows they are about (T1, T6)."""

    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)] = Field(
        description=(
            "What its keys begin with, after the tenant's own prefix: `<tenant><prefix>:<value>`, and more after a further "
            "colon. No two categories have the same."
        ),
        examples=["agents"],
    )
    table: Identifier | None = Field(
        default=None,
        description=(
            "Table of the category whose rows the keys are about: a key goes in the night in which its row is gone. Absent: "
            "the keys are about no row, and end by their time to live alone."
        ),
        examples=["agents"],
    )
    key_column: Identifier | None = Field(
        default=None,
        description="Column of `table` with the value in the key; `:` and `%` in it are written %3A and %25.",
        examples=["staff_id"],
    )
    rules: ClassVar[tuple[Rule, ...]] = profile_rules.CACHE
