"""From where on what was measured of a store is called bad (D6, D7)."""

from pydantic import Field

from tenant_retention.api.v1alpha1.common import ApiModel, Quantity


class Thresholds(ApiModel):
    """From where on a measured figure of a store is called bad. It is told, never acted on (D6, D7)."""

    latency_milliseconds: int = Field(
        default=1000, ge=1, le=60_000, description="Longest median round trip, in milliseconds.", examples=[1000]
    )
    clock_skew_seconds: int = Field(
        default=30,
        ge=1,
        le=60,
        description="Largest difference to the operator's clock, in seconds; over 60 nothing is deleted.",
        examples=[30],
    )
    free_sessions: int = Field(
        default=10,
        ge=0,
        le=10_000,
        description="PostgreSQL, Redis: connections that must be left of those that are not reserved.",
        examples=[10],
    )
    replication_lag_seconds: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="PostgreSQL, Redis: largest lag of a standby, in seconds.",
        examples=[300],
    )
    size: Quantity | None = Field(
        default=None,
        description=(
            "PostgreSQL: largest size of a store's database, in bytes; of a server in the tenant's namespace, of all its "
            "databases. Absent: 85 % of that server's volume; of an existing one not judged, as SQL cannot see free space. "
            "Redis: most memory in use; absent: 85 % of maxmemory."
        ),
        examples=["400Gi"],
    )
