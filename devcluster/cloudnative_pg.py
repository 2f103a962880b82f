"""CloudNativePG, which only some tests and one customer of the demo need: installed on demand, from its own release."""

from collections.abc import Sequence

from devcluster import fingerprint, node
from devcluster.addons import apply_folder
from devcluster.commands import run
from devcluster.layout import Layout
from devcluster.parts import CLOUDNATIVE_PG, Parts
from devcluster.progress import Progress
from devcluster.recipes import CLOUDNATIVE_PG_VERSION, Recipe, image_of

NAMESPACE = "cnpg-system"
_DEPLOYMENT = "cnpg-controller-manager"
_MODULE = "github.com/cloudnative-pg/cloudnative-pg"
_UPSTREAM_IMAGE = "ghcr.io/cloudnative-pg/cloudnative-pg"
_WAIT_SECONDS = 300


def install(layout: Layout, parts: Parts, recipes: Sequence[Recipe], progress: Progress) -> None:
    """Apply the release and wait until it is available; nothing where this very release was applied before."""
    images = {name: image_of(recipes, name) for name in (CLOUDNATIVE_PG.name, "postgres")}
    applied, key = layout.state / "cloudnative-pg.key", fingerprint.of_texts(images.values())
    if applied.exists() and applied.read_text() == key:
        return
    progress.expect(1)
    with progress.step("installing CloudNativePG in the cluster, and waiting for it"):
        release = parts.module_folder(CLOUDNATIVE_PG, _MODULE) / "releases" / f"cnpg-{CLOUDNATIVE_PG_VERSION}.yaml"
        apply_folder(
            layout,
            None,
            release,
            {_UPSTREAM_IMAGE: images[CLOUDNATIVE_PG.name]},
            patches=[],
            settings=_settings(images),
        )
        run(
            [
                *(*node.kubectl(layout), "--namespace", NAMESPACE, "rollout", "status"),
                *(f"deployment/{_DEPLOYMENT}", f"--timeout={_WAIT_SECONDS}s"),
            ]
        )
        applied.write_text(key)


def _settings(images: dict[str, str]) -> dict[str, object]:
    """Our images, which no registry has; no limit on the processor: with a tenth of one a failover takes minutes."""
    environment = {"OPERATOR_IMAGE_NAME": images[CLOUDNATIVE_PG.name], "POSTGRES_IMAGE_NAME": images["postgres"]}
    manager = {
        "name": "manager",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {"limits": {"cpu": None, "memory": "512Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _DEPLOYMENT, "namespace": NAMESPACE},
        "spec": {"template": {"spec": {"containers": [manager]}}},
    }
