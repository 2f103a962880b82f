"""A tenant's own programs: what they were given, and what they find when they run in a pod of the tenant's namespace."""

from __future__ import annotations

import base64

from demo.kubectl import Kubectl
from demo.pods import Application, deliver_loader, run_pod
from tests.cluster.conftest import Tenant

SQL = (
    "import psycopg,sys\nwith psycopg.connect(open(sys.argv[1]).read()) as c: print(c.execute(sys.argv[2]).fetchall())"
)


def secret(kubectl: Kubectl, namespace: str, name: str) -> dict[str, str]:
    """The Secret's values as text."""
    data = kubectl.get("-n", namespace, "secret", name)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def python(
    tenant: Tenant, bindings: tuple[str, ...], name: str, program: str, *arguments: str, labelled: bool = True
) -> str:
    """What a program of the tenant prints, run in a pod with these bindings; without the label no server answers it."""
    application = Application(tenant.namespace, tenant.name if labelled else None, bindings)
    deliver_loader(tenant.kubectl, application, [])
    return run_pod(tenant.kubectl, application, name, ["python3", "-c", program, *arguments], 300).strip()
