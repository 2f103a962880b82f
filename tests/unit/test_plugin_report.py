"""``kubectl retention report``: each kind that it takes has a canary in every place that must stay out, and is in it itself."""

from __future__ import annotations

import errno
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tenant_retention.api.v1alpha1.common import ApiObject
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.api.v1alpha1.datasubjectrequest import DataSubjectRequest
from tenant_retention.api.v1alpha1.legalhold import LegalHold
from tenant_retention.api.v1alpha1.retentionprofile import RetentionProfile
from tenant_retention.api.v1alpha1.retentionrun import RetentionRun
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicy
from tenant_retention.cli.plugin import reporting
from tenant_retention.domain.errors import Unavailable
from tenant_retention.domain.ports.cluster import Kind, Manifest, kind_of
from tests.unit.test_plugin import CANARY, HOME, Plugin, stored

MODELS = (
    TenantRetentionPolicy,
    RetentionRun,
    LegalHold,
    DataSubjectRequest,
    RetentionProfile,
    DataStoreClass,
    DataStore,
)
LEFT_OUT = {
    ("LegalHold", "spec"): {"subject", "reference", "release"},
    ("DataSubjectRequest", "spec"): {"subject"},
    ("RetentionProfile", "spec"): {"allowedNamespaces"},
    ("DataStoreClass", "spec"): {"allowedNamespaces"},
}
OURS = {"app.kubernetes.io/managed-by": "tenant-retention-operator"}
POISON = {"kopf": {"last-handled-configuration": CANARY}, "later": CANARY}
KINDS = [kind for kind, _, _ in (*reporting._TENANT, *reporting._CLUSTER)]


def poisoned(kind: Kind) -> Manifest:
    """An object of the kind which the report must show, with the canary wherever people or programs write freely."""
    manifest: dict[str, Any] = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": "shown",
            **({"namespace": HOME} if kind.namespaced else {}),
            "labels": {**OURS, "said": CANARY},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY},
            "managedFields": [{"manager": CANARY}],
        },
        "spec": {"later": CANARY, "template": CANARY, "jobTemplate": CANARY, "volumeClaimTemplates": CANARY},
        "status": dict(POISON),
        "data": {"password": CANARY},
    }
    spec, status = manifest["spec"], manifest["status"]
    match kind.name:
        case "TenantRetentionPolicy":
            spec["profileRef"] = {"name": "shown"}
            status["holds"] = [{"name": "case-17", "reference": CANARY, "later": CANARY}]
        case "LegalHold":
            spec |= {"reference": CANARY, "release": {"reason": CANARY}}
            spec["select"] = {"sessions": [CANARY], "units": [CANARY], "subject": {"secretRef": {"name": CANARY}}}
        case "DataSubjectRequest":
            spec["subject"] = {"secretRef": {"name": CANARY}}
        case "DataStore":
            spec |= {"claimRef": {"namespace": HOME}, "className": "shown"}
        case "Pod":
            state = {"terminated": {"exitCode": 2, "reason": "Error", "message": CANARY}}
            spec["containers"] = [{"name": "expire", "args": [CANARY], "env": [{"name": "X", "value": CANARY}]}]
            status["conditions"] = [{"type": "Ready", "status": "False", "message": CANARY}]
            status["containerStatuses"] = [{"name": "expire", "state": state}]
        case "Event":
            manifest |= {"reportingController": "tenantretention.io/operator", "reason": "shown", "action": CANARY}
    return manifest


def report(plugin: Plugin, path: Path) -> dict[str, str]:
    assert plugin("report", str(path)) == 0
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_an_object_of_each_kind_is_in_the_report_and_nothing_that_was_written_freely_in_it__X2(tmp_path: Path) -> None:
    files = report(Plugin(*(poisoned(kind) for kind in KINDS)), tmp_path / "report.zip")
    told = {kind.plural: files[f"{kind.plural}.json"] for kind in KINDS}
    assert [name for name, content in told.items() if "shown" not in content] == []
    assert [name for name, content in told.items() if CANARY in content] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("part", ["spec", "status"])
def test_whoever_adds_a_field_says_whether_the_report_takes_it(model: type[ApiObject], part: str) -> None:
    name = model.resource.kind
    (taken,) = [fields for kind, fields in reporting.TAKEN.items() if kind.name == name]
    fields = model.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
    left_out = {"kopf"} if part == "status" else LEFT_OUT.get((name, part), set())
    assert set(taken[part == "status"].split()) == {field.alias or at for at, field in fields.items()} - left_out


def test_a_full_disk_leaves_no_half_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Path.open

    class Full:
        def __init__(self, stream: BinaryIO) -> None:
            self._stream = stream

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def write(self, content: bytes) -> None:
            self._stream.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "report.zip"

    def full(at: Path, *how: Any, **named: Any) -> Any:
        stream = opened(at, *how, **named)
        return Full(stream) if at == path else stream

    monkeypatch.setattr(Path, "open", full)
    assert Plugin(stored())("report", str(path)) == 1
    assert f"{path} cannot be written: No space left on device" in capsys.readouterr().err
    assert not path.exists()


def test_a_report_of_a_cluster_that_does_not_answer_leaves_with_3_after_one_question(tmp_path: Path) -> None:
    plugin = Plugin(stored())
    asked: list[str] = []

    async def away(kind: Kind, namespace: str | None = None, labels: str = "") -> tuple[Manifest, ...]:
        asked.append(kind.plural)
        raise Unavailable("Kubernetes API does not answer: TimeoutError", reason="Unavailable")

    plugin.cluster.list = away  # type: ignore[method-assign]
    assert plugin("report", str(tmp_path / "report.zip")) == 3
    assert asked == ["tenantretentionpolicies"]
    assert not (tmp_path / "report.zip").exists()


def test_a_tenants_report_names_no_other_namespace_that_may_use_its_profile_or_class__X2(tmp_path: Path) -> None:
    objects = [poisoned(each) for each in KINDS]
    for each in objects:
        if kind_of(each) in reporting.TAKEN:
            each["spec"]["allowedNamespaces"] = {"matchExpressions": [{"values": [HOME, "customer-globex"]}]}
    files = report(Plugin(*objects), tmp_path / "report.zip")
    assert "globex" not in "".join(files.values())
    assert json.loads(files["datastoreclasses.json"])[0]["metadata"]["name"] == "shown"
