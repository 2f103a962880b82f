"""A platform administrator's commands on a cluster, as docs/commands-on-a-cluster.md writes them: the engine's, in the operator's pod."""

from __future__ import annotations

import shlex

from demo.kubectl import Kubectl

OPERATOR_NAMESPACE = "tenant-retention-system"
RELEASE = "tenant-retention-operator"
_INSIDE = (
    'umask 077; own=$(mktemp -d) && trap "rm -rf $own" EXIT && cd "$own" && python3 -m tenant_retention.cli unpack . >/dev/null'
    ' && python3 -m tenant_retention.cli "$@"'
)


def on_cluster(kubectl: Kubectl, namespace: str, policy: str, *arguments: str, show: bool = True) -> str:
    """What ``tenant-retention`` prints, given all that the cluster has of the policy; DemoFailure with what it said if it failed."""
    if show:
        print(f"      $ on_cluster {shlex.join(arguments)}", flush=True)
    mine = f"tenantretention.io/policy={policy}"
    own = ("-n", namespace, "get", "configmap,secret", "-l", mine, "-o", "json")
    platform = ("-n", OPERATOR_NAMESPACE, "get", "secret", "-l", f"tenantretention.io/namespace={namespace},{mine}")
    text = kubectl.run(*own, show=False) + kubectl.run(*platform, "-o", "json", show=False)
    inside = ("-n", OPERATOR_NAMESPACE, "exec", "-i", f"deployment/{RELEASE}", "--", "sh", "-c", _INSIDE)
    return kubectl.run(*inside, "tenant-retention", *arguments, text=text, show=False)
