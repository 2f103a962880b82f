"""What the demo made and may remove, and what stands in its way: it removes or changes nothing that somebody else made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.kubectl import DemoFailure, Kubectl

LABEL = "tenantretention.io/demo"
MARK = f"{LABEL}=true"
_LEDGER = "datastores.tenantretention.io"


@dataclass(frozen=True)
class Site:
    """Where the demo works: every name that it makes an object under."""

    namespaces: tuple[str, ...]
    operator_namespace: str
    release: str
    secrets: tuple[str, ...]
    """Of the operator's namespace."""
    catalogue: tuple[Path, ...]
    """Files and folders of the profiles and classes that it applies."""


def marked(document: dict[str, Any]) -> dict[str, Any]:
    """The object with the label that says the demo made it."""
    metadata = document["metadata"]
    return {**document, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), LABEL: "true"}}}


def documents(path: Path) -> list[dict[str, Any]]:
    """The objects of one file, or of every file of a folder."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


def create_marked(kubectl: Kubectl, wanted: Iterable[dict[str, Any]]) -> None:
    """Makes what is missing of these cluster-wide objects, with the label from its first moment: a kill leaves no stranger.

    DemoFailure where somebody else has made one of that name meanwhile. The file itself is applied afterwards, as it is;
    that leaves the label on, since the file never had it.
    """
    for document in wanted:
        ours = kubectl.get(document["kind"], "-l", MARK)["items"]
        if document["metadata"]["name"] not in _names(ours):
            kubectl.run("create", "-f", "-", text=json.dumps(marked(document)), show=False)


def refuse_what_others_made(kubectl: Kubectl, site: Site) -> None:
    """DemoFailure with one sentence that names what is in the way and the next step; nothing has been changed then."""
    strangers = [*_catalogue(kubectl, site), *_tenants(kubectl, site), *_operator(kubectl, site)]
    if strangers:
        raise DemoFailure(
            f"the demo removes and changes only what carries its label {MARK}, and these do not: {', '.join(strangers)}; "
            "rename or remove them yourself, or give the demo another cluster (the built-in one anew: make cluster-down)"
        )


def remove_what_an_earlier_demo_made(kubectl: Kubectl, site: Site) -> None:
    """Its namespaces with all that is in them, their ledger entries and retained volumes."""
    ours = _our_namespaces(kubectl, site)
    # Labelled before their namespace goes: a demo that is killed in between must know them again.
    for kind, found in (("dst", _stores(kubectl)), ("pv", _items(kubectl, "pv"))):
        belong = [f"{kind}/{item['metadata']['name']}" for item in found if _came_with(item, ours)]
        if belong:
            kubectl.run("label", "--overwrite", *belong, MARK, show=False)
    if ours:
        kubectl.run("delete", "namespace", *ours, "--ignore-not-found", "--timeout=180s")
    if _has_ledger(kubectl):
        # Before the entries, which say whose they are. A key's fingerprint among them outlives the key in the namespace.
        for namespace in sorted({_namespace_of(item) for item in _stores(kubectl) if _has_label(item)}):
            secrets = ("delete", "secret", "-l", f"tenantretention.io/namespace={namespace}")
            kubectl.run("-n", site.operator_namespace, *secrets)
        kubectl.run("delete", "dst", "-l", MARK, "--timeout=60s")
    kubectl.run("delete", "pv", "-l", MARK, "--timeout=60s")


def _tenants(kubectl: Kubectl, site: Site) -> Iterator[str]:
    ours = _our_namespaces(kubectl, site)
    for namespace in _items(kubectl, "namespace"):
        name = namespace["metadata"]["name"]
        if name in site.namespaces and name not in ours:
            yield f"namespace/{name}"
    for kind, found in (("datastore", _stores(kubectl)), ("persistentvolume", _items(kubectl, "pv"))):
        for item in found:
            strange = not _has_label(item) and not _came_with(item, ours)
            if strange and _namespace_of(item) in site.namespaces:
                yield f"{kind}/{item['metadata']['name']}"


def _catalogue(kubectl: Kubectl, site: Site) -> Iterator[str]:
    if not _has_ledger(kubectl):  # then the other kinds are not there either
        return
    for path in site.catalogue:
        wanted = documents(path)
        for kind in sorted({document["kind"] for document in wanted}):
            foreign = _names(item for item in _items(kubectl, kind) if not _has_label(item))
            for name in sorted(foreign & _names(document for document in wanted if document["kind"] == kind)):
                yield f"{kind.lower()}/{name}"


def _operator(kubectl: Kubectl, site: Site) -> Iterator[str]:
    # Names only: what others keep there is none of the demo's business.
    place = ("-n", site.operator_namespace, "-l", f"{LABEL}!=true", "-o", "name")
    foreign = set(kubectl.run("get", "secrets", *place, show=False).split())
    for name in site.secrets:
        if f"secret/{name}" in foreign:
            yield f"secret/{name} in {site.operator_namespace}"
    done = kubectl.program(
        "helm", "get", "values", site.release, "-n", site.operator_namespace, "-o", "json", show=False
    )
    if done.returncode and "not found" not in done.stderr:
        raise DemoFailure(f"helm get values: {done.stderr.strip()}")
    # The demo installs with no value set: an upgrade would take these away.
    if not done.returncode and json.loads(done.stdout):
        yield f"the values of Helm release {site.release}"


def _our_namespaces(kubectl: Kubectl, site: Site) -> dict[str, dict[str, Any]]:
    found = {item["metadata"]["name"]: item["metadata"] for item in _items(kubectl, "namespace") if _has_label(item)}
    return {name: found[name] for name in site.namespaces if name in found}


def _came_with(item: dict[str, Any], ours: dict[str, dict[str, Any]]) -> bool:
    """Whether a ledger entry or volume belongs to a namespace of the demo, not to an older one of the same name."""
    namespace = ours.get(_namespace_of(item))
    if namespace is None:
        return False
    if item["kind"] == "PersistentVolume":
        return bool(item["metadata"]["creationTimestamp"] >= namespace["creationTimestamp"])
    return bool(item["spec"].get("namespaceUid") == namespace["uid"])


def _namespace_of(item: dict[str, Any]) -> str:
    spec = item["spec"]
    return str(spec.get("namespace") or spec.get("claimRef", {}).get("namespace", ""))


def _stores(kubectl: Kubectl) -> list[dict[str, Any]]:
    return _items(kubectl, "dst") if _has_ledger(kubectl) else []


def _has_ledger(kubectl: Kubectl) -> bool:
    return _LEDGER in _names(_items(kubectl, "crd"))


def _items(kubectl: Kubectl, kind: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = kubectl.get(kind)["items"]
    return items


def _names(items: Iterable[dict[str, Any]]) -> set[str]:
    return {item["metadata"]["name"] for item in items}


def _has_label(item: dict[str, Any]) -> bool:
    return bool(item["metadata"].get("labels", {}).get(LABEL) == "true")
