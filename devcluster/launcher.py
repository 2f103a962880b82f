"""What each command does, in the order of its steps, from the parts, images, node and add-ons below it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster import addons, cloudnative_pg, machine, node, packages, teardown
from devcluster.configuration import Configuration, configuration
from devcluster.errors import DevclusterError
from devcluster.images import Images
from devcluster.layout import Layout
from devcluster.parts import CLOUDNATIVE_PG, HELM, NODE, Part, Parts
from devcluster.progress import Progress
from devcluster.recipes import cloudnative_pg as cloudnative_pg_recipe
from devcluster.recipes import recipes


@dataclass(frozen=True)
class Launcher:
    """The commands. Each can be repeated, also after it was killed."""

    layout: Layout

    def up(self) -> None:
        """A whole node with the images of this checkout; quick when it is there already."""
        machine.check()
        progress = Progress()
        with machine.only_launcher(self.layout, progress):
            self._up(progress)
        progress.done(f"The node is ready, KUBECONFIG={self.layout.kubeconfig}")

    def down(self, forget_images: bool) -> None:
        """No node. Its imported images stay for the next start, unless they shall be forgotten."""
        machine.check()
        progress = Progress()
        with machine.only_launcher(self.layout, progress):
            if teardown.something_is_left(self.layout):
                progress.expect(1)
                with progress.step("taking the node down"):
                    teardown.take_down(self.layout)
            if forget_images:
                teardown.forget_images(self.layout)
        progress.done("No node is running")

    def images(self) -> dict[str, Path]:
        """Every image up to date in the cache, and on the node if one runs. Returns the archives by reference."""
        machine.check()
        progress = Progress()
        with machine.only_launcher(self.layout, progress):
            parts = Parts(self.layout)
            images = Images(self.layout, recipes(self.layout, parts))
            absent = packages.missing()
            running = not absent and node.is_whole(self.layout)
            progress.expect(bool(absent) + len(parts.missing()) + len(images.missing()))
            self._build(absent, parts, images, progress)
            if running and (stale := images.not_on_node()):
                progress.expect(1)
                images.hand_over(stale, progress)
        return {recipe.reference: images.archive(recipe) for recipe in images.recipes}

    def cloudnative_pg(self) -> None:
        """CloudNativePG on the node that runs; quick when it is there already. A node without it starts faster."""
        machine.check()
        progress = Progress()
        with machine.only_launcher(self.layout, progress):
            if not node.is_whole(self.layout):
                raise DevclusterError("No node runs; `python3 -m devcluster up` starts one.")
            parts = Parts(self.layout)
            missing = not parts.path(CLOUDNATIVE_PG).exists()
            base, *others = recipes(self.layout, parts)
            images = Images(self.layout, (base, cloudnative_pg_recipe(self.layout, parts)))
            progress.expect(missing + len(images.missing()))
            parts.build(CLOUDNATIVE_PG, progress)
            self._build([], parts, images, progress)
            if stale := images.not_on_node():
                progress.expect(1)
                images.hand_over(stale, progress)
            cloudnative_pg.install(self.layout, parts, [*images.recipes, *others], progress)
        progress.done("CloudNativePG is ready")

    def parts(self, wanted: Sequence[Part]) -> list[Path]:
        """These parts built; returns where they lie."""
        progress = Progress()
        parts = Parts(self.layout)
        progress.expect(sum(not parts.path(part).exists() for part in wanted))
        return [parts.build(part, progress) for part in wanted]

    def status(self) -> str:
        """One line about the node of this machine."""
        machine.check()
        owner = node.owner(self.layout)
        if owner is None:
            left = teardown.something_is_left(self.layout)
            return "a start is at work or was interrupted; `up` or `down` puts it right" if left else "no node runs"
        if not node.is_whole(self.layout):
            return f"the node that {owner.checkout} started is not whole any more; `up` replaces it"
        return f"the node is ready; {owner.checkout} was the last to use it"

    def _up(self, progress: Progress) -> None:
        parts = Parts(self.layout)
        images = Images(self.layout, recipes(self.layout, parts))
        absent = packages.missing()
        keep = not absent and self._can_keep(parts, progress)
        replaces = not keep and teardown.something_is_left(self.layout)
        progress.expect(bool(absent) + len(parts.missing()) + len(images.missing()))
        progress.expect(0 if keep else replaces + node.START_STEPS + 2)
        self._build(absent, parts, images, progress)
        node.link_programs(self.layout.programs, {"kubectl": parts.path(NODE), "helm": parts.path(HELM)})
        wanted = configuration(self.layout, node.programs(parts))
        if not keep:
            self._start(replaces, wanted, progress)
        self._furnish(keep, parts, images, progress)
        node.claim(self.layout, wanted)
        node.hand_out_kubeconfig(self.layout)

    def _can_keep(self, parts: Parts, progress: Progress) -> bool:
        """Whether the node that runs is the one wanted; says what happens with one that is not, or is another's."""
        owner = node.owner(self.layout)
        if owner is None:
            if teardown.something_is_left(self.layout):
                progress.note("An earlier start or end was interrupted; starting from the beginning.")
            return False
        if not node.is_whole(self.layout):
            progress.note(f"The node that {owner.checkout} started is not whole any more; replacing it.")
            return False
        if owner.key != configuration(self.layout, node.programs(parts)).key(self.layout):
            progress.note(f"The node that {owner.checkout} started is configured in another way; replacing it.")
            return False
        if owner.checkout != str(self.layout.checkout):
            progress.note(f"The node of this machine was started by {owner.checkout}; using it, with its content.")
        return True

    def _build(self, absent: list[str], parts: Parts, images: Images, progress: Progress) -> None:
        if absent:
            packages.install(absent, progress)
        for part in parts.missing():
            parts.build(part, progress)
        images.remove_leftovers()
        try:
            for recipe in images.missing():
                images.build(recipe, progress)
        finally:
            images.release()

    def _start(self, replaces: bool, wanted: Configuration, progress: Progress) -> None:
        if replaces:
            with progress.step("taking down what is left of the earlier node"):
                teardown.take_down(self.layout)
        node.start(self.layout, wanted, progress)

    def _furnish(self, was_running: bool, parts: Parts, images: Images, progress: Progress) -> None:
        stale = images.not_on_node()
        outdated = not addons.are_applied(self.layout, images.recipes)
        if was_running:
            progress.expect(bool(stale) + outdated)
        if stale or not was_running:
            images.hand_over(stale, progress)
        if outdated:
            addons.apply(self.layout, parts, images.recipes, progress)
