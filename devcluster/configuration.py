"""How the node is configured: every file and every command line, as values; nothing is written or started here."""

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster import fingerprint
from devcluster.layout import (
    API_PORT,
    BRIDGE_INTERFACE,
    DNS_SERVICE_ADDRESS,
    NAME,
    NODE_ADDRESS,
    NODE_NAME,
    NODE_POD_NETWORK,
    POD_NETWORK,
    SERVICE_NETWORK,
    Layout,
)
from devcluster.network import POLICY_QUEUE

PAUSE_IMAGE = "localhost/tenant-retention/pause:1.0"
PROCESSES = (
    "containerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-network-policies",
    "kube-proxy",
    "kubelet",
)
"""Every process of the node, in the order of their start: each needs some before it."""

_ETCD_URL = "http://127.0.0.1:2379"
_ETCD_PEER_URL = "http://127.0.0.1:2380"


@dataclass(frozen=True)
class Programs:
    """The programs that run on the node."""

    node: Path
    network_policies: Path
    containerd: Path
    runc: Path


@dataclass(frozen=True)
class Configuration:
    """What makes a node: files by name, and a command for each of PROCESSES."""

    files: dict[str, str]
    commands: dict[str, list[str]]

    def key(self, layout: Layout) -> str:
        """Two nodes with the same key are the same, wherever the cache of their starter lies."""
        texts = [*self.files.values(), *(part for command in self.commands.values() for part in command)]
        return fingerprint.of_texts(text.replace(str(layout.cache), "") for text in texts)


def configuration(layout: Layout, programs: Programs) -> Configuration:
    """The whole configuration of the node."""
    files = {
        "containerd.toml": _containerd(layout, programs),
        f"cni/10-{NAME}.conflist": _json(_container_network(layout)),
        "kubelet.json": _json(_kubelet(layout)),
        "proxy.json": _json(_proxy(layout)),
        # The pods' upstream resolver: none, for nothing outside the cluster is asked.
        "resolv.conf": "",
    }
    folder = layout.configuration
    node = str(programs.node)
    commands = {
        "containerd": [str(programs.containerd), "--config", str(folder / "containerd.toml")],
        "etcd": [node, "etcd", *_etcd_flags(layout)],
        "kube-apiserver": [node, "kube-apiserver", *_api_server_flags(layout)],
        "kube-controller-manager": [node, "kube-controller-manager", *_controller_manager_flags(layout)],
        "kube-scheduler": [node, "kube-scheduler", *_scheduler_flags(layout)],
        "kube-network-policies": [str(programs.network_policies), *_network_policies_flags(layout)],
        "kube-proxy": [node, "kube-proxy", "--config", str(folder / "proxy.json")],
        "kubelet": [
            *(node, "kubelet", "--config", str(folder / "kubelet.json"), "--root-dir", str(layout.kubelet_root)),
            *("--kubeconfig", str(layout.certificates / "kubelet.kubeconfig")),
            *("--hostname-override", NODE_NAME, "--node-ip", NODE_ADDRESS),
        ],
    }
    return Configuration(files=files, commands=commands)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _containerd(layout: Layout, programs: Programs) -> str:
    template = string.Template((layout.package / "settings" / "containerd.toml").read_text())
    return template.substitute(
        root=layout.containerd_root,
        state=layout.containerd_socket.parent,
        socket=layout.containerd_socket,
        cni_folder=layout.configuration / "cni",
        runc=programs.runc,
        pause_image=PAUSE_IMAGE,
    )


def _container_network(layout: Layout) -> dict[str, Any]:
    return {
        "cniVersion": "0.4.0",
        "name": NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE_INTERFACE,
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.state / "cni"),
                    "ranges": [[{"subnet": NODE_POD_NETWORK}]],
                    # Not isDefaultGateway beside it: the plugin then adds the route twice and fails.
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(layout: Layout) -> dict[str, Any]:
    certificates = layout.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Debian 12 containers and many build machines still have cgroup v1.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{NAME}",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificates / "kubelet.crt"),
        "tlsPrivateKeyFile": str(certificates / "kubelet.key"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "resolvConf": str(layout.configuration / "resolv.conf"),
        "podLogsDir": str(layout.state / "pod-logs"),
        "volumePluginDir": str(layout.state / "volume-plugins"),
        "failSwapOn": False,
        "maxOpenFiles": 20000,
        "oomScoreAdj": 0,
        "maxPods": 200,
        # Imported images can be had from nowhere else: they must never be collected.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1Gi",
        },
    }


def _proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE_NAME,
        "clientConnection": {"kubeconfig": str(layout.certificates / "proxy.kubeconfig")},
        "oomScoreAdj": 0,
        # The limits belong to the whole machine, not to this network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _etcd_flags(layout: Layout) -> list[str]:
    return [
        f"--data-dir={layout.state / 'etcd'}",
        f"--listen-client-urls={_ETCD_URL}",
        f"--advertise-client-urls={_ETCD_URL}",
        f"--listen-peer-urls={_ETCD_PEER_URL}",
        f"--initial-advertise-peer-urls={_ETCD_PEER_URL}",
        f"--initial-cluster=default={_ETCD_PEER_URL}",
        # The node's content is thrown away at the end; waiting for the disk would only make it slow.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server_flags(layout: Layout) -> list[str]:
    certificates = layout.certificates
    return [
        f"--etcd-servers={_ETCD_URL}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={NODE_ADDRESS}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--client-ca-file={certificates / 'ca.crt'}",
        f"--tls-cert-file={certificates / 'apiserver.crt'}",
        f"--tls-private-key-file={certificates / 'apiserver.key'}",
        f"--kubelet-certificate-authority={certificates / 'ca.crt'}",
        f"--kubelet-client-certificate={certificates / 'apiserver-kubelet-client.crt'}",
        f"--kubelet-client-key={certificates / 'apiserver-kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={certificates / 'service-account.pub'}",
        f"--service-account-signing-key-file={certificates / 'service-account.key'}",
        f"--requestheader-client-ca-file={certificates / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={certificates / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={certificates / 'front-proxy-client.key'}",
    ]


def _controller_manager_flags(layout: Layout) -> list[str]:
    certificates = layout.certificates
    return [
        *_own_kubeconfig(layout, "controller-manager"),
        "--leader-elect=false",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={POD_NETWORK}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={certificates / 'service-account.key'}",
        f"--root-ca-file={certificates / 'ca.crt'}",
    ]


def _scheduler_flags(layout: Layout) -> list[str]:
    return [*_own_kubeconfig(layout, "scheduler"), "--leader-elect=false"]


def _own_kubeconfig(layout: Layout, name: str) -> list[str]:
    kubeconfig = layout.certificates / f"{name}.kubeconfig"
    return [
        "--bind-address=127.0.0.1",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]


def _network_policies_flags(layout: Layout) -> list[str]:
    return [
        f"--kubeconfig={layout.certificates / 'admin.kubeconfig'}",
        f"--hostname-override={NODE_NAME}",
        f"--nfqueue-id={POLICY_QUEUE}",
        "--disable-nri",
        # A pod whose policies are not known yet is not reached, rather than reached by all.
        "--fail-open=false",
        "--strict-mode=false",
    ]
