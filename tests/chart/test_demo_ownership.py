"""What `make demo` finds on a cluster that others use, on a real API server: it removes and changes only what it made."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import ownership
from demo.chapters import CHAPTERS, SITE, clear
from demo.kubectl import DemoFailure, Kubectl
from demo.story import Story
from tests.support.api_cases import ROOT, kind_cases
from tests.support.api_server import ApiServer, part, start

OURS, OTHERS = "customer-acme", "customer-globex"


@dataclass(frozen=True)
class WithoutControllers(Kubectl):
    """The demo's kubectl on a cluster of an API server only: what its controllers would end after a deletion, this ends."""

    server: ApiServer

    def program(
        self, name: str, *arguments: str, text: str | None = None, show: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The command itself; a deletion does not wait, and what is being deleted loses its finalizers."""
        if name != "kubectl" or arguments[0] != "delete":
            return super().program(name, *arguments, text=text, show=show)
        done = super().program(name, *arguments, "--wait=false", text=text, show=show)
        for kind, path in (("namespaces", "/finalize"), ("persistentvolumes", "")):
            for item in self.server.request("GET", f"/api/v1/{kind}").json()["items"]:
                if "deletionTimestamp" in item["metadata"]:
                    item["metadata"].pop("finalizers", None)
                    item["spec"].pop("finalizers", None)
                    self.server.request("PUT", f"/api/v1/{kind}/{item['metadata']['name']}{path}", item)
        return done


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with the project's definitions."""
    running = start(tmp_path_factory.mktemp("api-server"))
    try:
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("wait", "--for=condition=Established", "crd", "--all")
        yield running
    finally:
        running.stop()


@pytest.fixture
def story(server: ApiServer, tmp_path: Path) -> Iterator[Story]:
    """The demo's story on that server, with kubectl and helm as it has them on a cluster; everything is gone afterwards."""
    for name, program in (("kubectl", part("node")), ("helm", part("helm"))):
        (tmp_path / name).symlink_to(program)
    environment = {
        "KUBECONFIG": str(server.folder / "kubeconfig"),
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HELM_CACHE_HOME": str(tmp_path / "helm"),
    }
    kubectl = WithoutControllers(environment, server)
    yield Story(kubectl, ROOT)
    for kind in ("rprof", "dsc", "dst", "pv"):
        kubectl.run("delete", kind, "--all", show=False)
    kubectl.run("-n", SITE.operator_namespace, "delete", "secrets", "--all", show=False)
    kubectl.run("delete", "namespace", *SITE.namespaces, SITE.operator_namespace, "--ignore-not-found", show=False)


def write(story: Story, *documents: dict[str, Any]) -> None:
    story.kubectl.run("create", "-f", "-", text=yaml.safe_dump_all(documents), show=False)


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def made_by_the_demo(story: Story, name: str) -> str:
    """A namespace made as the demo makes one; its UID."""
    ownership.create_marked(story.kubectl, [namespace(name)])
    uid: str = story.kubectl.get("namespace", name)["metadata"]["uid"]
    return uid


def store(name: str, where: str, uid: str) -> dict[str, Any]:
    """A ledger entry of a store in that namespace."""
    base = next(case.object for case in kind_cases() if case.object["kind"] == "DataStore" and case.message is None)
    reference = {**base["spec"]["policyRef"], "namespace": where}
    spec = {**base["spec"], "namespace": where, "namespaceUid": uid, "policyRef": reference}
    return {**base, "metadata": {"name": name}, "spec": spec}


def volume(name: str, where: str) -> dict[str, Any]:
    """A retained volume that a claim of that namespace had."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/nowhere"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": where, "name": "data"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def class_named(name: str) -> dict[str, Any]:
    """A class of somebody else under a name that the demo uses."""
    spec = {"type": "PostgreSQL", "provisioner": "Embedded"}
    return {
        "apiVersion": "tenantretention.io/v1alpha1",
        "kind": "DataStoreClass",
        "metadata": {"name": name},
        "spec": spec,
    }


def names(story: Story, kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in story.kubectl.get(kind)["items"]}


def everything(story: Story) -> dict[str, Any]:
    """Every object that the demo could touch, as the server holds it."""
    return {kind: story.kubectl.get(kind)["items"] for kind in ("namespace", "dst", "pv", "dsc", "rprof")}


def test_the_demo_begins_by_looking_at_what_is_there_before_it_changes_anything() -> None:
    assert CHAPTERS[0] is clear


def test_on_an_empty_cluster_nothing_is_in_the_way(story: Story) -> None:
    clear(story)


def test_somebody_elses_objects_stop_the_demo_by_name_and_nothing_at_all_is_touched(story: Story) -> None:
    uid = made_by_the_demo(story, OURS)
    write(story, store("the-demos", OURS, uid), volume("pv-the-demos", OURS), namespace(OTHERS))
    write(story, store("theirs", OTHERS, "another"), volume("pv-theirs", OTHERS), class_named("initech-postgresql"))
    profile = ownership.documents(ROOT / "examples/profiles")[0]
    write(story, profile, namespace(SITE.operator_namespace))
    administrators = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SITE.secrets[0]}}
    story.kubectl.run("-n", SITE.operator_namespace, "create", "-f", "-", text=yaml.safe_dump(administrators))
    before = everything(story)
    with pytest.raises(DemoFailure) as refused:
        clear(story)
    for named in (
        f"namespace/{OTHERS}",
        "datastore/theirs",
        "persistentvolume/pv-theirs",
        "datastoreclass/initech-postgresql",
        f"retentionprofile/{profile['metadata']['name']}",
        f"secret/{SITE.secrets[0]} in {SITE.operator_namespace}",
    ):
        assert named in str(refused.value)
    assert "the-demos" not in str(refused.value)
    assert "rename or remove them yourself" in str(refused.value)
    assert everything(story) == before


def test_what_an_earlier_demo_made_is_removed_with_its_ledger_entries_and_volumes_and_nothing_else(
    story: Story,
) -> None:
    uid = made_by_the_demo(story, OURS)
    write(story, store("the-demos", OURS, uid), volume("pv-the-demos", OURS))
    write(story, namespace("customer-stark"), store("theirs", "customer-stark", "x"), volume("pv", "customer-stark"))
    clear(story)
    assert names(story, "dst") == {"theirs"}
    assert names(story, "pv") == {"pv"}
    assert OURS not in names(story, "namespace")
    assert "customer-stark" in names(story, "namespace")
    story.kubectl.run("delete", "namespace", "customer-stark", show=False)


def test_an_older_customers_ledger_entry_is_in_the_way_although_the_namespace_of_that_name_is_the_demos(
    story: Story,
) -> None:
    made_by_the_demo(story, OURS)
    write(story, store("older", OURS, "the uid of a namespace that is gone"))
    with pytest.raises(DemoFailure, match="datastore/older"):
        clear(story)
    assert OURS in names(story, "namespace")


def test_a_demo_killed_after_its_namespaces_went_knows_what_was_in_them(story: Story) -> None:
    uid = made_by_the_demo(story, OURS)
    write(story, store("the-demos", OURS, uid), volume("pv-the-demos", OURS))

    class Killed(Exception):
        pass

    class Dies(WithoutControllers):
        """Dies at the first command after the namespaces are gone."""

        def run(self, *arguments: str, text: str | None = None, show: bool = True) -> str:
            if arguments[:2] == ("delete", "dst"):
                raise Killed
            return super().run(*arguments, text=text, show=show)

    kubectl = story.kubectl
    assert isinstance(kubectl, WithoutControllers)
    with pytest.raises(Killed):
        clear(Story(Dies(kubectl.environment, kubectl.server), ROOT))
    assert names(story, "dst") == {"the-demos"}
    assert OURS not in names(story, "namespace")
    clear(story)
    assert names(story, "dst") == names(story, "pv") == set()


def test_what_the_demo_applies_keeps_its_label_and_the_next_demo_may_change_it(story: Story) -> None:
    folder = ROOT / "examples/profiles"
    for _ in range(2):
        ownership.create_marked(story.kubectl, ownership.documents(folder))
        story.kubectl.run("apply", "-f", str(folder), show=False)
    profiles = story.kubectl.get("rprof")["items"]
    assert {item["metadata"]["labels"][ownership.LABEL] for item in profiles} == {"true"}
    clear(story)
    assert names(story, "rprof") == {item["metadata"]["name"] for item in profiles}


def test_values_that_somebody_gave_the_operators_release_stop_the_demo(story: Story, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "c", "version": "0.0.1"}))
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    (chart / "templates/c.yaml").write_text(yaml.safe_dump(settings))
    place = (SITE.release, str(chart), "-n", SITE.operator_namespace, "--create-namespace")
    for values, refused in ((), False), (("--set", "resync.intervalSeconds=15"), True):
        done = story.kubectl.program("helm", "upgrade", "--install", *place, *values)
        assert done.returncode == 0, done.stderr
        if refused:
            with pytest.raises(DemoFailure, match=f"the values of Helm release {SITE.release}"):
                clear(story)
        else:
            clear(story)
