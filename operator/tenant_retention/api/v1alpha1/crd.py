"""Renders the CustomResourceDefinitions of the seven kinds from their models: the one source (EXPECTATIONS.md)."""

from typing import Any

from tenant_retention.api.v1alpha1.common import API_VERSION, GROUP, VERSION, ApiObject, Column
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.api.v1alpha1.legalhold import LegalHold
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.retentionrun import RetentionRun
from tenant_retention.api.v1alpha1.schema import openapi_schema, validation
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy

KINDS: tuple[type[ApiObject], ...] = (
    TenantRetentionPolicy,
    RetentionProfile,
    DataStoreClass,
    DataStore,
    RetentionRun,
    LegalHold,
    DataSubjectRequest,
)


def crd_name(kind: type[ApiObject]) -> str:
    """Return the name of a kind's CRD: plural and group."""
    return f"{kind.resource.plural}.{GROUP}"


def custom_resource_definition(kind: type[ApiObject]) -> dict[str, Any]:
    """Return the CRD of a kind."""
    resource = kind.resource
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_printer_column(column) for column in resource.columns],
        "schema": {"openAPIV3Schema": object_schema(kind)},
    }
    if resource.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in resource.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": crd_name(kind)},
        "spec": {
            "group": GROUP,
            "scope": resource.scope,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
                "shortNames": [resource.short_name],
                "categories": list(resource.categories),
            },
            "conversion": {"strategy": "None"},
            "versions": [version],
        },
    }


def object_schema(kind: type[ApiObject]) -> dict[str, Any]:
    """Return the schema of a whole object: the four top fields and the rules of the kind."""
    own = openapi_schema(kind)["properties"]
    # A never reconciled object must not look healthy: kstatus compares -1 with the generation.
    own["status"]["default"] = {"observedGeneration": -1}
    schema: dict[str, Any] = {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Version of the API. Example: {API_VERSION}."},
            "kind": {"type": "string", "description": f"Kind of the object. Example: {kind.resource.kind}."},
            "metadata": {"type": "object"},
            "spec": own["spec"],
            "status": own["status"],
        },
    }
    if kind.rules:
        schema["x-kubernetes-validations"] = [validation(rule) for rule in kind.rules]
    return schema


def _printer_column(column: Column) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        "description": column.description,
    }
    if column.priority:
        rendered["priority"] = column.priority
    return rendered
