"""The certificates, keys and kubeconfigs of one node, made by openssl for each start and valid for a month."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from devcluster.commands import run
from devcluster.layout import API_SERVICE_ADDRESS, API_URL, NAME, NODE_ADDRESS, NODE_NAME, Layout

_VALID_DAYS = "30"
_SERVER_NAMES = (
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
    "DNS:localhost",
    "IP:127.0.0.1",
    f"IP:{NODE_ADDRESS}",
    f"IP:{API_SERVICE_ADDRESS}",
)


@dataclass(frozen=True)
class _Leaf:
    """A certificate to make: who it names, whom it is signed by, and as what it may be used."""

    name: str
    subject: str
    authority: str = "ca"
    alternative_names: tuple[str, ...] = ()


_LEAVES = (
    _Leaf("apiserver", "/CN=kube-apiserver", alternative_names=_SERVER_NAMES),
    _Leaf("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    _Leaf("front-proxy-client", "/CN=front-proxy-client", authority="front-proxy-ca"),
    _Leaf("admin", "/O=system:masters/CN=devcluster-admin"),
    _Leaf("controller-manager", "/CN=system:kube-controller-manager"),
    _Leaf("scheduler", "/CN=system:kube-scheduler"),
    _Leaf("proxy", "/CN=system:kube-proxy"),
    _Leaf(
        "kubelet",
        f"/O=system:nodes/CN=system:node:{NODE_NAME}",
        alternative_names=(f"DNS:{NODE_NAME}", f"IP:{NODE_ADDRESS}", "IP:127.0.0.1"),
    ),
)
_KUBECONFIGS = ("admin", "controller-manager", "scheduler", "proxy", "kubelet")


def make(layout: Layout) -> None:
    """Write every certificate, key and kubeconfig of the node below its state folder."""
    folder = layout.certificates
    folder.mkdir(parents=True, mode=0o700)
    for authority in ("ca", "front-proxy-ca"):
        _make_authority(folder, authority)
    for leaf in _LEAVES:
        _make_leaf(folder, leaf)
    run(["openssl", "genrsa", "-out", folder / "service-account.key", "2048"])
    run(["openssl", "rsa", "-in", folder / "service-account.key", "-pubout", "-out", folder / "service-account.pub"])
    for name in _KUBECONFIGS:
        _write_private(folder / f"{name}.kubeconfig", kubeconfig(folder, name))
    _write_private(layout.admin_kubeconfig, kubeconfig(folder, "admin"))


def kubeconfig(folder: Path, name: str) -> str:
    """A kubeconfig (JSON is YAML) that carries its certificates in itself, so that it can be copied."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": NAME,
                    "cluster": {"server": API_URL, "certificate-authority-data": _encoded(folder / "ca.crt")},
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _encoded(folder / f"{name}.crt"),
                        "client-key-data": _encoded(folder / f"{name}.key"),
                    },
                }
            ],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": name}}],
            "current-context": NAME,
        },
        indent=2,
    )


def _make_authority(folder: Path, name: str) -> None:
    _make_key(folder / f"{name}.key")
    run(
        [
            *("openssl", "req", "-x509", "-new", "-key", folder / f"{name}.key", "-days", _VALID_DAYS),
            *("-subj", f"/CN={NAME}-{name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            *("-out", folder / f"{name}.crt"),
        ]
    )


def _make_leaf(folder: Path, leaf: _Leaf) -> None:
    _make_key(folder / f"{leaf.name}.key")
    request = run(["openssl", "req", "-new", "-key", folder / f"{leaf.name}.key", "-subj", leaf.subject])
    extensions = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth,serverAuth"]
    if leaf.alternative_names:
        extensions.append(f"subjectAltName={','.join(leaf.alternative_names)}")
    extension_file = folder / f"{leaf.name}.ext"
    extension_file.write_text("\n".join(extensions) + "\n")
    run(
        [
            *("openssl", "x509", "-req", "-days", _VALID_DAYS, "-extfile", extension_file, "-CAcreateserial"),
            *("-CA", folder / f"{leaf.authority}.crt", "-CAkey", folder / f"{leaf.authority}.key"),
            *("-out", folder / f"{leaf.name}.crt"),
        ],
        stdin=request,
    )
    extension_file.unlink()


def _make_key(path: Path) -> None:
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
