"""CloudNativePG for the customer whose database is to survive a node; not ours to install on somebody's own cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from demo.customers import EXAMPLES, Customer
from demo.kubectl import DemoFailure, Kubectl

CLASS = EXAMPLES / "classes/cloudnativepg.yaml"
_DEFINITION = "clusters.postgresql.cnpg.io"


def install(kubectl: Kubectl, root: Path) -> bool:
    """Installs it on the built-in node; whether the cluster has it. DemoFailure if that failed."""
    if os.environ.get("CLUSTER") != "current":
        print("      $ python3 -m devcluster cloudnative-pg", flush=True)
        command = [sys.executable, "-m", "devcluster", "cloudnative-pg"]
        if subprocess.run(command, cwd=root, check=False).returncode:
            raise DemoFailure("CloudNativePG could not be installed; see above")
    return kubectl.attempt("get", "crd", _DEFINITION, show=False).returncode == 0


def needed_by(customer: Customer) -> bool:
    """Whether one of its stores is of the class."""
    return any(store.get("className") == CLASS.stem for store in customer.policy["spec"].get("stores", ()))
