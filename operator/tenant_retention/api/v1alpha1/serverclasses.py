"""What a class says about the servers that are made from it: their size, their standbys, their image."""

from typing import Literal

from pydantic import Field

from tenant_retention.api.v1alpha1.common import ApiModel, DnsName, Duration, Quantity


class ResourceAmounts(ApiModel):
    """Amounts of CPU and memory."""

    cpu: Quantity | None = Field(default=None, description="CPU, in cores.", examples=["250m"])
    memory: Quantity | None = Field(default=None, description="Memory, in bytes.", examples=["512Mi"])


class Resources(ApiModel):
    """Requests and limits of the server's container."""

    requests: ResourceAmounts | None = Field(
        default=None, description="What is reserved.", examples=[{"cpu": "100m", "memory": "256Mi"}]
    )
    limits: ResourceAmounts | None = Field(
        default=None, description="What is not exceeded.", examples=[{"memory": "1Gi"}]
    )


class ImageCatalogRef(ApiModel):
    """A catalogue of PostgreSQL images, as CloudNativePG knows them."""

    kind: Literal["ImageCatalog", "ClusterImageCatalog"] = Field(
        default="ClusterImageCatalog",
        description="ClusterImageCatalog: one for the whole cluster. ImageCatalog: one in the tenant's namespace.",
        examples=["ClusterImageCatalog"],
    )
    name: DnsName = Field(description="Name of the catalogue.", examples=["postgresql"])
    major: int = Field(ge=15, le=99, description="Major version of PostgreSQL to take from it.", examples=[17])


class Synchronous(ApiModel):
    """How many standbys confirm a commit before it counts."""

    number: int = Field(default=1, ge=1, le=8, description="Standbys that confirm a commit.", examples=[1])
    durability: Literal["Preferred", "Required"] = Field(
        default="Preferred",
        description=(
            "Preferred: while too few standbys answer, commits go on without them. Required: commits wait for them."
        ),
        examples=["Preferred"],
    )


class CloudNativePG(ApiModel):
    """A dedicated Cluster of CloudNativePG in the tenant's namespace, one for all databases of a policy."""

    instances: int = Field(
        default=3,
        ge=1,
        le=9,
        description="Instances, one of them the primary, of a Cluster that is made; afterwards the Cluster's own number counts.",
        examples=[3],
    )
    storage: Quantity = Field(
        default="10Gi",
        description="Size of each instance's volume, in bytes, where the policy asks for none; a Cluster that is there keeps its own.",
        examples=["50Gi"],
    )
    storage_class_name: DnsName | None = Field(
        default=None, description="StorageClass of the volumes; absent: the cluster's default.", examples=["fast-ssd"]
    )
    resources: Resources | None = Field(
        default=None,
        description="CPU and memory of each instance; absent: not set.",
        examples=[{"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}],
    )
    image_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description=(
            "Image of the instances, its tag beginning with the version of PostgreSQL; absent: CloudNativePG's own default."
        ),
        examples=["registry.example.com/postgresql:17.11"],
    )
    image_catalog_ref: ImageCatalogRef | None = Field(
        default=None,
        description="Catalogue that the image comes from, instead of `imageName`.",
        examples=[{"name": "postgresql", "major": 17}],
    )
    synchronous: Synchronous | None = Field(
        default=None,
        description=(
            "Standbys that confirm each commit, so that a failover takes nothing back; absent: one, Preferred. With one "
            "instance there is none."
        ),
        examples=[{"number": 1, "durability": "Preferred"}],
    )


class Backup(ApiModel):
    """The operator's own backups of the databases made from a class (T6)."""

    schedule: Literal["Daily", "Weekly"] = Field(
        default="Daily",
        description="How often a backup is made, half an hour after the night's run; old ones go every night all the same.",
        examples=["Daily"],
    )
    keep: Duration = Field(
        description=(
            "How long a backup is kept. Runs delete so much earlier that every backup is gone by max; a keep that leaves no "
            "room for that is refused in the status of the policy."
        ),
        examples=["P14D"],
    )
