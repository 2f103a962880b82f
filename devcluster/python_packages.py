"""Python packages for the images, exactly as uv.lock pins them, for the images' Python and not the machine's."""

import hashlib
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devcluster import fingerprint
from devcluster.commands import run, succeeds
from devcluster.errors import DevclusterError, Unsupported
from devcluster.layout import Layout

IMAGE_PYTHON = "3.13"
_UV_VERSION = "0.13.9"
_PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}


def image_platform() -> str:
    """The wheels' platform that fits this machine. Raises Unsupported on other processors."""
    if (machine := platform.machine()) not in _PLATFORMS:
        raise Unsupported(f"The images can be built on {' and '.join(_PLATFORMS)}, but this machine is {machine}.")
    return _PLATFORMS[machine]


def dependencies_key(layout: Layout) -> str:
    """Changes when the locked dependencies, the images' Python or the platform do."""
    lock = hashlib.sha256((layout.checkout / "uv.lock").read_bytes()).hexdigest()
    return fingerprint.of_texts([lock, IMAGE_PYTHON, image_platform(), _UV_VERSION])


def install_dependencies(layout: Layout, target: Path) -> None:
    """The product's own dependencies, without its tools, in a folder."""

    def fill(folder: Path) -> None:
        requirements = run(
            [
                *(_uv(layout), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"),
                *("--project", layout.checkout),
            ]
        )
        _install(layout, requirements, folder)

    _fill_once(target, dependencies_key(layout), fill)


def install_one(layout: Layout, name: str, target: Path) -> None:
    """One locked package alone, in a folder."""
    package = _locked(layout, name)
    hashes = " ".join(f"--hash={wheel['hash']}" for wheel in package["wheels"])
    requirement = f"{name}=={package['version']} {hashes}\n"
    _install(layout, requirement, target, "--no-deps")


def locked_version(layout: Layout, name: str) -> str:
    """The version of a package in uv.lock."""
    return str(_locked(layout, name)["version"])


def _locked(layout: Layout, name: str) -> dict[str, Any]:
    packages = tomllib.loads((layout.checkout / "uv.lock").read_text())["package"]
    for package in packages:
        if package["name"] == name:
            return dict(package)
    raise DevclusterError(f"uv.lock has no package {name}")


def _install(layout: Layout, requirements: str, target: Path, *more: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        run(
            [
                *(_uv(layout), "pip", "install", "--quiet", "--requirements", file.name, "--target", target),
                *("--python-version", IMAGE_PYTHON, "--python-platform", image_platform()),
                *("--only-binary", ":all:", "--require-hashes", "--link-mode", "copy", *more),
            ]
        )


def _fill_once(target: Path, key: str, fill: Callable[[Path], None]) -> None:
    """Fill a folder unless it was filled for the same key; a folder that is there is always a whole one."""
    stamp = target.parent / f"{target.name}.key"
    if target.exists() and stamp.exists() and stamp.read_text() == key:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fill(building)
        building.chmod(0o755)
        stamp.unlink(missing_ok=True)
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
        stamp.write_text(key)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _uv(layout: Layout) -> Path:
    """uv of the machine, or one of ours."""
    found = shutil.which("uv")
    if found is not None and succeeds([found, "--version"]):
        return Path(found)
    environment = layout.cache / f"uv-{_UV_VERSION}"
    program = environment / "bin" / "uv"
    if not program.exists():
        shutil.rmtree(environment, ignore_errors=True)
        run([sys.executable, "-m", "venv", environment])
        run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", f"uv=={_UV_VERSION}"])
    return program
