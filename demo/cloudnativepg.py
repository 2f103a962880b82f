"""CloudNativePG for the customer whose database is to survive a node; not ours to install on somebody's own cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo import ownership
from demo.customers import EXAMPLES, Customer
from demo.kubectl import DemoFailure, Kubectl
from tenant_retention.domain.topology import bytes_of

CLASS = EXAMPLES / "classes/cloudnativepg.yaml"
MEMORY_FOR_THREE = 6 * 2**30
"""Bytes that the nodes must have to give, so that three instances find room beside the rest of the demo."""
_DEFINITION = "clusters.postgresql.cnpg.io"


def install(kubectl: Kubectl, root: Path) -> bool:
    """Installs it on the built-in node; whether the cluster has it. DemoFailure if that failed."""
    if os.environ.get("CLUSTER") != "current":
        print("      $ python3 -m devcluster cloudnative-pg", flush=True)
        command = [sys.executable, "-m", "devcluster", "cloudnative-pg"]
        if subprocess.run(command, cwd=root, check=False).returncode:
            raise DemoFailure("CloudNativePG could not be installed; see above")
    return kubectl.attempt("get", "crd", _DEFINITION, show=False).returncode == 0


def offer(kubectl: Kubectl) -> None:
    """Applies the class of the example; with one instance instead of three where the nodes' memory does not allow more."""
    wanted = class_for(kubectl)
    ownership.create_marked(kubectl, [wanted])
    if [wanted] == ownership.documents(CLASS):
        kubectl.show("apply", "-f", str(CLASS))
    else:
        kubectl.run("apply", "-f", "-", text=json.dumps(wanted))


def class_for(kubectl: Kubectl) -> dict[str, Any]:
    """The class, with as many instances as there is memory for; says so in one line."""
    nodes = kubectl.get("nodes")["items"]
    memory = sum(bytes_of(node["status"]["allocatable"]["memory"]) for node in nodes)
    (found,) = ownership.documents(CLASS)
    settings = found["spec"]["cloudNativePG"]
    if memory < MEMORY_FOR_THREE:
        # Nobody is there to confirm a commit.
        settings = {name: value for name, value in settings.items() if name != "synchronous"} | {"instances": 1}
    print(
        f"      the nodes have {memory / 2**30:.1f} GiB of memory to give: instances {settings['instances']}",
        flush=True,
    )
    return {**found, "spec": {**found["spec"], "cloudNativePG": settings}}


def needed_by(customer: Customer) -> bool:
    """Whether one of its stores is of the class."""
    return any(store.get("className") == CLASS.stem for store in customer.policy["spec"].get("stores", ()))
