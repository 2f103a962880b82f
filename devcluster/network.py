"""The node's own network: a namespace, one pair of interfaces to the machine, routes, and the policy queue."""

from pathlib import Path

from devcluster.commands import run, succeeds
from devcluster.layout import (
    BRIDGE_INTERFACE,
    HOST_ADDRESS,
    HOST_INTERFACE,
    NODE_ADDRESS,
    NODE_INTERFACE,
    POD_NETWORK,
    SERVICE_NETWORK,
    Layout,
)

POLICY_QUEUE = "100"
_PREFIX_LENGTH = "30"


def inside(layout: Layout, command: list[str | Path]) -> list[str | Path]:
    """The command as run in the node's network. Not `ip netns exec`: that remounts /sys and hides the cgroups."""
    return ["nsenter", f"--net={layout.network_namespace}", "--", *command]


def create(layout: Layout) -> None:
    """Make the namespace and connect it with the machine."""
    namespace = layout.network_namespace
    namespace.touch()
    # A bind mount in a folder of ours: `ip netns` would leave /run/netns itself mounted.
    run(["unshare", f"--net={namespace}", "true"])
    run(["ip", "link", "add", HOST_INTERFACE, "type", "veth", "peer", "name", NODE_INTERFACE])
    run(["ip", "link", "set", NODE_INTERFACE, "netns", str(namespace)])
    run(["ip", "address", "add", f"{HOST_ADDRESS}/{_PREFIX_LENGTH}", "dev", HOST_INTERFACE])
    run(["ip", "link", "set", HOST_INTERFACE, "up"])
    for network in (POD_NETWORK, SERVICE_NETWORK):
        run(["ip", "route", "replace", network, "via", NODE_ADDRESS])
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{NODE_ADDRESS}/{_PREFIX_LENGTH}", "dev", NODE_INTERFACE],
        ["ip", "link", "set", NODE_INTERFACE, "up"],
        ["ip", "route", "add", "default", "via", HOST_ADDRESS],
        ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"],
    ):
        run(inside(layout, [*command]))
    _filter_bridged_packets(layout)
    _queue_new_connections(layout)


def delete(layout: Layout) -> None:
    """Remove interfaces, routes (they go with the interface) and the namespace's mount."""
    delete = ["ip", "link", "delete", HOST_INTERFACE]
    # Once nobody is in the namespace the kernel takes the pair away by itself, perhaps just now: only one that stays is an error.
    if not succeeds(delete) and succeeds(["ip", "link", "show", HOST_INTERFACE]):
        run(delete)
    if layout.network_namespace.exists():
        if layout.network_namespace.is_mount():
            run(["umount", layout.network_namespace])
        layout.network_namespace.unlink()


def _filter_bridged_packets(layout: Layout) -> None:
    """Without it a pod that reaches another through a Service on the same bridge gets answers from the wrong address."""
    if not Path("/proc/sys/net/bridge").exists():
        run(["modprobe", "br_netfilter"])
    run(inside(layout, ["sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=1"]))


def _queue_new_connections(layout: Layout) -> None:
    """Hand every new connection of a pod to kube-network-policies, which answers with accept or drop.

    Its own rules need nftables' `queue`, which not every kernel has; iptables' NFQUEUE does the same.
    """
    new = ["-m", "conntrack", "--ctstate", "NEW"]
    queue = ["-j", "NFQUEUE", "--queue-num", POLICY_QUEUE]
    rules: list[list[str]] = [
        # Probes and webhook calls come from the node itself (root): policies must not stop them.
        ["POSTROUTING", "-o", BRIDGE_INTERFACE, "-m", "owner", "--uid-owner", "0", "-j", "RETURN"],
        ["POSTROUTING", "-o", BRIDGE_INTERFACE, *new, *queue],
        # From a pod to the node (the API server) and to the machine outside.
        ["INPUT", "-i", BRIDGE_INTERFACE, *new, *queue],
        ["FORWARD", "-i", BRIDGE_INTERFACE, "!", "-o", BRIDGE_INTERFACE, *new, *queue],
    ]
    for rule in rules:
        run(inside(layout, ["iptables", "-w", "-t", "mangle", "-A", *rule]))
