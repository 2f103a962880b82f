"""The programs that the node and its users need: built from Go modules, once for each set of inputs."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devcluster import fingerprint
from devcluster.commands import require, run
from devcluster.errors import Unsupported
from devcluster.layout import Layout
from devcluster.progress import Progress

KUBERNETES_VERSION = "1.36.4"
_GO_MINIMUM = (1, 26)


@dataclass(frozen=True)
class Part:
    """One program: the folder of its Go module below `devcluster/`, and the package to build there."""

    name: str
    folder: str
    package: str
    """`.` for a program of ours, else the tool that go.mod names."""
    title: str
    cold_seconds: int
    """About how long the first build takes on two cores, told before it starts."""


NODE = Part("node", "node", ".", f"Kubernetes {KUBERNETES_VERSION} (one binary)", 240)
COREDNS = Part("coredns", "parts/coredns", "github.com/coredns/coredns", "CoreDNS", 80)
LOCAL_PATH = Part(
    "local-path-provisioner",
    "parts/local-path-provisioner",
    "github.com/rancher/local-path-provisioner",
    "local-path-provisioner",
    50,
)
HELM = Part("helm", "parts/helm", "helm.sh/helm/v4/cmd/helm", "Helm", 85)
NETWORK_POLICIES = Part(
    "kube-network-policies",
    "parts/kube-network-policies",
    "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard",
    "kube-network-policies",
    55,
)
PAUSE = Part("pause", "parts/pause", ".", "pause", 2)
CLOUDNATIVE_PG = Part(
    "cloudnative-pg",
    "parts/cloudnative-pg",
    "github.com/cloudnative-pg/cloudnative-pg/cmd/manager",
    "CloudNativePG",
    100,
)
MINIO = Part("minio", "parts/minio", "github.com/minio/minio", "MinIO (a test server)", 105)

NEEDED = (NODE, COREDNS, LOCAL_PATH, NETWORK_POLICIES, HELM, PAUSE)
"""What `up` builds; the others only on demand."""
ALL = {part.name: part for part in (*NEEDED, CLOUDNATIVE_PG, MINIO)}


class Parts:
    """Finds and builds parts."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._go = require("go", f"the node is built from source with Go {_GO_MINIMUM[0]}.{_GO_MINIMUM[1]} or newer")
        self._go_version = self._read_go_version()

    def path(self, part: Part) -> Path:
        """Where the part lies, or will lie once it is built."""
        folder = self._layout.package / part.folder
        inputs = [path for path in folder.iterdir() if path.suffix in (".go", ".mod", ".sum")]
        key = fingerprint.of_texts(
            [self._go_version, part.package, _linker_flags(part), fingerprint.of_files(inputs, folder)]
        )
        return self._layout.cache / "parts" / f"{part.name}-{key}" / part.name

    def missing(self) -> list[Part]:
        """The needed parts that are not built yet."""
        return [part for part in NEEDED if not self.path(part).exists()]

    def build(self, part: Part, progress: Progress) -> Path:
        """The part's path; built first if it is missing."""
        target = self.path(part)
        if target.exists():
            return target
        with progress.step(f"building {part.title}, about {part.cold_seconds} s on two cores the first time"):
            target.parent.parent.mkdir(parents=True, exist_ok=True)
            # Another launcher may build the same part: each writes its own folder, the rename decides.
            building = Path(tempfile.mkdtemp(prefix=f".{part.name}-", dir=target.parent.parent))
            try:
                self._compile(part, building / part.name)
                building.chmod(0o755)
                if not target.parent.exists():
                    building.rename(target.parent)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return target

    def module_folder(self, part: Part, module: str) -> Path:
        """Where Go unpacked a module of the part, for the files that it ships."""
        folder = self._layout.package / part.folder
        return Path(
            run(
                [self._go, "list", "-m", "-f", "{{.Dir}}", module], directory=folder, extra_environment=_environment()
            ).strip()
        )

    def _compile(self, part: Part, target: Path) -> None:
        run(
            [
                self._go,
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                _linker_flags(part),
                "-o",
                target,
                part.package,
            ],
            directory=self._layout.package / part.folder,
            extra_environment=_environment(),
        )

    def _read_go_version(self) -> str:
        version = run(
            [self._go, "env", "GOVERSION"], directory=self._layout.package, extra_environment=_environment()
        ).strip()
        numbers = version.removeprefix("go").split(".")
        if len(numbers) < 2 or not numbers[1].isdigit() or (int(numbers[0]), int(numbers[1])) < _GO_MINIMUM:
            raise Unsupported(f"Go is {version}, but Kubernetes {KUBERNETES_VERSION} needs 1.26 or newer.")
        return version


def _linker_flags(part: Part) -> str:
    flags = ["-s", "-w"]
    if part is NODE:
        # Without the stamp the server says v0.0.0 and Helm refuses every chart that asks for a Kubernetes version.
        major, minor, _ = KUBERNETES_VERSION.split(".")
        stamp = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            flags += [f"-X {package}.{name}={value}" for name, value in stamp.items()]
    return " ".join(flags)


def _environment() -> dict[str, str]:
    """Builds must not depend on how the user set up Go: no other toolchain, no C, no changed go.mod."""
    flags = os.environ.get("GOFLAGS", "")
    kept = [flag for flag in flags.split() if not flag.startswith("-mod")]
    return {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": " ".join([*kept, "-mod=readonly"]), "GOWORK": "off"}
