"""Two databases of one policy whose objects lie in one bucket: recordings of calls and attachments of messages."""

from __future__ import annotations

from tenant_retention.domain.definition import CategoryDefinition, CategoryState, ObjectsDefinition, RetentionDefinition
from tests.support.enforcement import archive, column, table

IN_BOTH = "audio/shared"


def two_databases(attachments_min: str | None = None) -> RetentionDefinition:
    """Recordings P14D in ``Analytical``; attachments P30D in ``Dialogue``; both in bucket ``Content``."""
    calls = archive()
    attachments = CategoryDefinition(
        name="attachments",
        database="Dialogue",
        state=CategoryState.ENFORCED,
        minimum=attachments_min,
        keep="P30D",
        maximum="P5Y",
        clock_column="started_at",
        tables=("attachments",),
        objects=ObjectsDefinition(
            bucket="Content", table="attachments", key_column="object_key", version_column="object_version"
        ),
    )
    columns = (column("object_key", role="ObjectKey"), column("object_version"))
    return calls.model_copy(
        update={
            "tables": (*calls.tables, table("attachments", *columns)),
            "categories": (*calls.categories, attachments),
        }
    )
