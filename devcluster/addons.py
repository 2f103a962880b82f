"""What runs in the cluster before anything of the product does: DNS and a default StorageClass."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devcluster import fingerprint, node
from devcluster.commands import run
from devcluster.layout import Layout
from devcluster.parts import LOCAL_PATH, Parts
from devcluster.progress import Progress
from devcluster.recipes import Recipe, image_of

_WAIT_SECONDS = 300
_DEPLOYMENTS = (("kube-system", "coredns"), ("local-path-storage", "local-path-provisioner"))


def are_applied(layout: Layout, recipes: Sequence[Recipe]) -> bool:
    """Whether this very state was applied to the node before."""
    applied = layout.state / "addons.key"
    return applied.exists() and applied.read_text() == _key(layout, recipes)


def apply(layout: Layout, parts: Parts, recipes: Sequence[Recipe], progress: Progress) -> None:
    """Apply both and wait until they are available."""
    images = _images(recipes)
    manifests = layout.package / "addons"
    with progress.step("installing DNS and storage in the cluster, and waiting for them"):
        apply_folder(layout, manifests / "coredns", None, {"coredns": images["coredns"]}, patches=[])
        upstream = parts.module_folder(LOCAL_PATH, LOCAL_PATH.package) / "deploy" / "local-path-storage.yaml"
        apply_folder(
            layout,
            manifests / "local-path",
            upstream,
            {"rancher/local-path-provisioner": images["local-path"]},
            patches=["default-class.yaml", "configuration.yaml"],
        )
        for namespace, deployment in _DEPLOYMENTS:
            run(
                [
                    *(*node.kubectl(layout), "--namespace", namespace, "rollout", "status"),
                    *(f"deployment/{deployment}", f"--timeout={_WAIT_SECONDS}s"),
                ]
            )
        (layout.state / "addons.key").write_text(_key(layout, recipes))


def _images(recipes: Sequence[Recipe]) -> dict[str, str]:
    return {"coredns": image_of(recipes, "coredns"), "local-path": image_of(recipes, "local-path-provisioner")}


def _key(layout: Layout, recipes: Sequence[Recipe]) -> str:
    manifests = layout.package / "addons"
    files = [path for path in manifests.rglob("*") if path.is_file()]
    return fingerprint.of_texts([fingerprint.of_files(files, manifests), *_images(recipes).values()])


def apply_folder(
    layout: Layout,
    source: Path | None,
    upstream: Path | None,
    images: dict[str, str],
    patches: list[str],
    settings: dict[str, object] | None = None,
) -> None:
    """Apply manifests with other image names and patches; kustomize does both, so that no text is pasted together.

    `settings`: one more patch, for what is known only here.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "addon"
        if source is None:
            work.mkdir()
        else:
            shutil.copytree(source, work)
        resources = [path.name for path in work.iterdir() if path.name not in patches]
        if upstream is not None:
            (work / "upstream.yaml").write_text(upstream.read_text())  # a copy: module files cannot be written
            resources.append("upstream.yaml")
        kustomization = {
            "resources": sorted(resources),
            "images": [
                {"name": name, "newName": image.rpartition(":")[0], "newTag": image.rpartition(":")[2]}
                for name, image in images.items()
            ],
            "patches": [
                *({"path": patch} for patch in patches),
                *([{"patch": json.dumps(settings)}] if settings is not None else []),
            ],
        }
        (work / "kustomization.yaml").write_text(json.dumps(kustomization))
        # By the server: what kubectl writes down for its own comparison is too long for some definitions.
        run([*node.kubectl(layout), "apply", "--server-side", "--force-conflicts", "--kustomize", work])
