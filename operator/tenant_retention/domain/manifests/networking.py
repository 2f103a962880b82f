"""NetworkPolicies: a server answers the operator, this policy's jobs and labelled applications; a job reaches its stores.

Each policy names both directions for its own pods, so what is not listed is denied without a separate default-deny
object that somebody could delete. The kubelet's probes come from the node, which Kubernetes always lets through.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from tenant_retention.domain.manifests.inputs import DnsServers, Endpoint, OperatorRef, PolicyRef
from tenant_retention.domain.manifests.metadata import (
    ACCESS_LABEL,
    Manifest,
    cluster_name,
    labels,
    manifest,
    owner_reference,
    selector,
)

JOB_COMPONENT: Final = "enforcement"
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
_INSTANCE_MANAGER: Final = 8000
"""Where each instance of CloudNativePG answers its operator and its peers."""
_SERVER_PORTS: Final = (("postgresql", 5432), ("s3", 8333))


def server_network_policy(
    policy: PolicyRef, operator: OperatorRef, name: str, component: str, labelled: dict[str, str], port: int
) -> Manifest:
    """Who may connect to an embedded server; the server itself connects to nobody. Outlives the policy, as the data does.

    Applications: pods of the same namespace labelled ``tenantretention.io/access: <policy>``.
    """
    return manifest("networking.k8s.io/v1", "NetworkPolicy", name, policy.namespace, labelled) | {
        "spec": {
            "podSelector": {"matchLabels": selector(policy, component)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": _clients(policy, operator), "ports": [_port(port)]}],
            "egress": [],
        }
    }


def cluster_network_policy(
    policy: PolicyRef, operator: OperatorRef, cnpg_namespace: str, name: str, labelled: dict[str, str]
) -> Manifest:
    """Who may connect to the instances of the CloudNativePG Cluster ``name``: as for an embedded server, and besides each
    other and CloudNativePG's operator in ``cnpg_namespace``. Outlives the policy, as the data does.

    Egress is left alone: each instance speaks to the API server, whose address no NetworkPolicy can name.
    """
    pods = {"matchLabels": cluster_selector(name)}
    controller = {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: cnpg_namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "cloudnative-pg"}},
    }
    return manifest("networking.k8s.io/v1", "NetworkPolicy", name, policy.namespace, labelled) | {
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": _clients(policy, operator), "ports": [_port(5432)]},
                {"from": [{"podSelector": pods}, controller], "ports": [_port(5432), _port(_INSTANCE_MANAGER)]},
            ],
        }
    }


def cluster_selector(name: str) -> dict[str, str]:
    """What CloudNativePG labels the pods and claims of the Cluster ``name`` with."""
    return {"cnpg.io/cluster": name}


def _clients(policy: PolicyRef, operator: OperatorRef) -> list[Manifest]:
    return [
        {
            "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: operator.namespace}},
            "podSelector": {"matchLabels": dict(operator.pod_labels)},
        },
        {"podSelector": {"matchLabels": selector(policy, JOB_COMPONENT)}},
        {"podSelector": {"matchLabels": {ACCESS_LABEL: policy.name}}},
    ]


def jobs_network_policy(policy: PolicyRef, dns: DnsServers, existing: tuple[Endpoint, ...] = ()) -> Manifest:
    """What the policy's jobs may reach: names, the policy's embedded servers, ``existing`` endpoints; nobody reaches a job.

    An endpoint given as an IP address is allowed as that address. A host name cannot be written into a NetworkPolicy, so
    its port is allowed to every address.
    """
    egress = [_dns_rule(dns), *_embedded_rules(policy), *_existing_rules(existing)]
    name = f"{policy.name}-jobs"
    found = manifest("networking.k8s.io/v1", "NetworkPolicy", name, policy.namespace, labels(policy, JOB_COMPONENT))
    found["metadata"]["ownerReferences"] = [owner_reference(policy)]
    return found | {
        "spec": {
            "podSelector": {"matchLabels": selector(policy, JOB_COMPONENT)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": egress,
        }
    }


def _dns_rule(dns: DnsServers) -> Manifest:
    peers: list[Manifest] = [
        {
            "namespaceSelector": {
                "matchExpressions": [{"key": _NAMESPACE_NAME, "operator": "In", "values": list(dns.namespaces)}]
            }
        }
    ]
    peers += [{"ipBlock": {"cidr": address}} for address in dns.addresses]
    return {"to": peers, "ports": [_port(port, protocol) for port in dns.ports for protocol in ("UDP", "TCP")]}


def _embedded_rules(policy: PolicyRef) -> list[Manifest]:
    servers = [(selector(policy, component), port) for component, port in _SERVER_PORTS]
    servers.append((cluster_selector(cluster_name(policy)), 5432))
    return [{"to": [{"podSelector": {"matchLabels": pods}}], "ports": [_port(port)]} for pods, port in servers]


def _existing_rules(existing: tuple[Endpoint, ...]) -> list[Manifest]:
    rules: list[Manifest] = []
    for target in sorted(set(existing), key=lambda found: (found.host, found.port)):
        rule: Manifest = {"ports": [_port(target.port)]}
        address = _address(target.host)
        if address is not None:
            rule["to"] = [{"ipBlock": {"cidr": address}}]
        if rule not in rules:
            rules.append(rule)
    return rules


def _address(host: str) -> str | None:
    try:
        found = ip_address(host)
    except ValueError:
        return None
    return f"{found}/{found.max_prefixlen}"


def _port(port: int, protocol: str = "TCP") -> Manifest:
    return {"port": port, "protocol": protocol}
