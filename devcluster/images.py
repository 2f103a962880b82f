"""Building the images without a registry, and handing them to the node; nothing that is up to date is done again."""

import json
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devcluster import containers, fingerprint, mounts, processes
from devcluster.commands import run, succeeds
from devcluster.layout import Layout
from devcluster.progress import Progress
from devcluster.recipes import BASE_IMAGE, Recipe

_ENVIRONMENT = {
    # chroot isolation needs neither a daemon nor a container runtime of its own.
    "BUILDAH_ISOLATION": "chroot",
    "STORAGE_DRIVER": "overlay",
    # A build that outlives a killed launcher is ended with the rest.
    **processes.marked("image build"),
}


class Images:
    """The images of one checkout, as OCI archives in the cache."""

    def __init__(self, layout: Layout, recipes: Sequence[Recipe]) -> None:
        self._layout = layout
        self._recipes = recipes
        self._base_key = recipes[0].own_key

    def archive(self, recipe: Recipe) -> Path:
        """Where the image's archive lies, or will lie once it is built."""
        key = fingerprint.of_texts([recipe.own_key, self._base_key]) if recipe.on_base else recipe.own_key
        return self._layout.cache / "images" / f"{recipe.name}-{key}.tar"

    @property
    def recipes(self) -> Sequence[Recipe]:
        return self._recipes

    def missing(self) -> list[Recipe]:
        """The images that are not up to date in the cache."""
        return [recipe for recipe in self._recipes if not self.archive(recipe).exists()]

    def build(self, recipe: Recipe, progress: Progress) -> None:
        """Build one image, and its archive. An archive that exists is a whole one."""
        with progress.step(f"building {recipe.title}"):
            self._runroot.mkdir(parents=True, exist_ok=True)
            # Whatever it does, buildah takes a lock in the folder of networks: in ours, not in /etc/cni/net.d.
            self._settings.write_text(f'[network]\nnetwork_config_dir = "{self._runroot / "networks"}"\n')
            inspected = self._buildah("inspect", "--type", "image", BASE_IMAGE)
            if recipe.on_base and not succeeds(inspected, extra_environment=self._environment):
                self._build(self._recipes[0])  # buildah's own storage was emptied
            self._build(recipe)

    def remove_leftovers(self) -> None:
        """Remove the work folders of builds that were killed. Only under the machine's lock."""
        for folder in (self._layout.cache / "images").glob(".*-*"):
            mounts.unmount_below(folder)
            shutil.rmtree(folder)

    def not_on_node(self) -> list[Recipe]:
        """The images that the node does not have, or has in another version."""
        present = containers.image_digests(self._layout)
        return [
            recipe
            for recipe in self._recipes
            if recipe.reference not in present or present[recipe.reference] != _digest(self.archive(recipe))
        ]

    def hand_over(self, recipes: Sequence[Recipe], progress: Progress) -> None:
        """Import images into the node."""
        with progress.step(f"handing images to the node: {', '.join(recipe.name for recipe in recipes) or 'none new'}"):
            for recipe in recipes:
                containers.import_image(self._layout, self.archive(recipe))

    def release(self) -> None:
        """buildah leaves its storage mounted on itself; nothing of ours stays mounted."""
        mounts.unmount_below(self._layout.cache)
        shutil.rmtree(self._runroot, ignore_errors=True)

    @property
    def _runroot(self) -> Path:
        # Not below the node's folder: images can be built without a node.
        return self._layout.run.with_name(f"{self._layout.run.name}-images")

    @property
    def _settings(self) -> Path:
        return self._runroot / "containers.conf"

    @property
    def _environment(self) -> dict[str, str]:
        return {**_ENVIRONMENT, "CONTAINERS_CONF": str(self._settings)}

    def _build(self, recipe: Recipe) -> None:
        archive = self.archive(recipe)
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{recipe.name}-", dir=archive.parent) as folder:
            context = Path(folder) / "context"
            context.mkdir()
            self._buildah_build(recipe, recipe.prepare(context))
            temporary = Path(folder) / "image.tar"
            # The archive goes no further than to this machine: time counts, not size.
            run(
                self._buildah(
                    "push",
                    "--quiet",
                    "--compression-level",
                    "1",
                    recipe.reference,
                    f"oci-archive:{temporary}:{recipe.reference}",
                ),
                extra_environment=self._environment,
            )
            temporary.rename(archive)
        for old in archive.parent.glob(f"{recipe.name}-????????????????.tar"):
            if old != archive:
                old.unlink()

    def _buildah_build(self, recipe: Recipe, context: Path) -> None:
        run(
            self._buildah(
                *("build", "--quiet", "--layers", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--pull-never"),
                *("--file", recipe.containerfile, "--tag", recipe.reference, context),
            ),
            extra_environment=self._environment,
        )

    def _buildah(self, *arguments: str | Path) -> list[str | Path]:
        # A storage of our own: the user's images and layers are not touched.
        return ["buildah", "--root", self._layout.cache / "buildah", "--runroot", self._runroot, *arguments]


def _digest(archive: Path) -> str:
    with tarfile.open(archive) as content:
        index = content.extractfile("index.json")
        if index is None:
            raise ValueError(f"{archive} is no OCI archive")
        return str(json.loads(index.read())["manifests"][0]["digest"])
