"""CEL rules of DataStoreClass and DataStore: what the API server refuses at apply, and what is immutable."""

from tenant_retention.api.v1alpha1.common import Rule


def immutable(field: str, label: str) -> Rule:
    """A transition rule: `field` (relative to the model) may be neither changed, added nor removed; `label` names it."""
    # `namespace` is a reserved word of CEL; Kubernetes serves such fields between double underscores.
    name = f"__{field}__" if field == "namespace" else field
    return Rule(
        f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        f"{label} is immutable",
        f".{field}",
        "FieldValueForbidden",
    )


CLASS_SPEC = (
    immutable("type", "spec.type"),
    immutable("provisioner", "spec.provisioner"),
    immutable("region", "spec.region"),
    Rule(
        "has(self.existing) == has(oldSelf.existing) && (!has(self.existing) || "
        "has(self.existing.host) == has(oldSelf.existing.host) && "
        "(!has(self.existing.host) || self.existing.host == oldSelf.existing.host) && "
        "has(self.existing.port) == has(oldSelf.existing.port) && "
        "(!has(self.existing.port) || self.existing.port == oldSelf.existing.port) && "
        "has(self.existing.endpoint) == has(oldSelf.existing.endpoint) && "
        "(!has(self.existing.endpoint) || self.existing.endpoint == oldSelf.existing.endpoint))",
        "spec.existing.host, port and endpoint are immutable; make a new class for another server",
        ".existing",
        "FieldValueForbidden",
    ),
    Rule(
        "(self.provisioner == 'Existing') == has(self.existing)",
        "spec.existing is required with provisioner Existing and only allowed there",
        ".existing",
        "FieldValueRequired",
    ),
    Rule(
        "self.provisioner == 'Embedded' || !has(self.embedded)",
        "spec.embedded is only allowed with provisioner Embedded",
        ".embedded",
        "FieldValueForbidden",
    ),
    Rule(
        "self.provisioner == 'CloudNativePG' || !has(self.cloudNativePG)",
        "spec.cloudNativePG is only allowed with provisioner CloudNativePG",
        ".cloudNativePG",
        "FieldValueForbidden",
    ),
    Rule(
        "self.provisioner != 'CloudNativePG' || self.type == 'PostgreSQL'",
        "spec.type must be PostgreSQL with provisioner CloudNativePG",
        ".type",
    ),
    Rule(
        "!has(self.cloudNativePG) || !(has(self.cloudNativePG.imageName) && has(self.cloudNativePG.imageCatalogRef))",
        "spec.cloudNativePG.imageName and imageCatalogRef exclude each other; write one of them, or neither for the default",
        ".cloudNativePG.imageCatalogRef",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.cloudNativePG) || !has(self.cloudNativePG.imageName) || self.cloudNativePG.imageName.matches("
        "'^[^@]+:[1-9][0-9]([.][0-9]+)?([-.][^@]*)?(@sha256:[0-9a-f]{64})?$')",
        "spec.cloudNativePG.imageName must have a tag that begins with the version of PostgreSQL, such as :17.11",
        ".cloudNativePG.imageName",
    ),
    Rule(
        "!has(self.cloudNativePG) || !has(self.cloudNativePG.synchronous) || "
        "self.cloudNativePG.synchronous.number < self.cloudNativePG.instances",
        "spec.cloudNativePG.synchronous.number must be less than instances: a primary does not confirm to itself",
        ".cloudNativePG.synchronous.number",
    ),
    Rule(
        "!has(self.existing) || (self.type == 'S3' ? has(self.existing.endpoint) : has(self.existing.host))",
        "spec.existing.host is required with type PostgreSQL and Redis, spec.existing.endpoint with type S3",
        ".existing",
        "FieldValueRequired",
    ),
    Rule(
        "!has(self.existing) || self.type == 'S3' || "
        "!(has(self.existing.endpoint) || has(self.existing.iam) || has(self.existing.s3Region))",
        "spec.existing.endpoint, iam and s3Region are only allowed with type S3",
        ".existing",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.existing) || self.type != 'S3' || !has(self.existing.host)",
        "spec.existing.host is only allowed with type PostgreSQL and Redis",
        ".existing",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.existing) || self.type != 'Redis' || (has(self.existing.port) && self.existing.port != 5432)",
        "spec.existing.port is required with type Redis: the TLS port, such as 6379 (5432 is PostgreSQL's)",
        ".existing",
        "FieldValueRequired",
    ),
    Rule(
        "self.type != 'Redis' || self.provisioner == 'Existing'",
        "spec.provisioner must be Existing with type Redis: the operator runs no cache server of its own",
        ".provisioner",
    ),
    Rule(
        "!has(self.existing) || self.type != 'S3' || has(self.existing.iam)",
        "spec.existing.iam is required with type S3: AWS, MinIO or Static",
        ".existing",
        "FieldValueRequired",
    ),
    Rule(
        "!has(self.existing) || (has(self.existing.iam) && self.existing.iam == 'Static') == "
        "(has(self.existing.staticCredentials) && self.existing.staticCredentials.size() > 0)",
        "spec.existing.staticCredentials is required with iam Static and only allowed there",
        ".existing",
        "FieldValueRequired",
    ),
    Rule(
        "!has(self.encryptionAtRest) || self.type != 'S3'",
        "spec.encryptionAtRest is not allowed with type S3: what is written to a bucket is tried",
        ".encryptionAtRest",
        "FieldValueForbidden",
    ),
    Rule(
        "!has(self.backup) || self.type == 'PostgreSQL'",
        "spec.backup is only allowed with type PostgreSQL: buckets and caches have no backups",
        ".backup",
        "FieldValueForbidden",
    ),
)

STORE_SPEC = (
    Rule(
        "self.policyRef.name == oldSelf.policyRef.name && self.policyRef.__namespace__ == oldSelf.policyRef.__namespace__",
        "spec.policyRef.name and namespace are immutable",
        ".policyRef",
        "FieldValueForbidden",
    ),
    *(
        immutable(field, f"spec.{field}")
        for field in (
            "installation",
            "type",
            "provisioner",
            "className",
            "classSnapshot",
            "namespace",
            "purpose",
            "region",
            "unit",
            "storeId",
            "name",
        )
    ),
)
