"""What a user may see of policies and namespaces: where not all, what may be read, and a word on the rest."""

from __future__ import annotations

from dataclasses import dataclass

from tenant_retention.cli.plugin.reaching import Reached
from tenant_retention.domain.errors import Forbidden, Unavailable
from tenant_retention.domain.ports.cluster import NAMESPACE, POLICY, Manifest

_NAMED = 5


@dataclass(frozen=True)
class Seen:
    """Policies, and the namespaces that could not be read. ``namespace``: the one that was looked into; None: all."""

    namespace: str | None
    policies: tuple[Manifest, ...]
    unread: tuple[str, ...] = ()

    def warning(self) -> str:
        """What to say of the namespaces that are missing."""
        more = len(self.unread) - _NAMED
        named = ", ".join(self.unread[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"not shown, for they could not be read: policies in {named}"


async def look(reached: Reached, name: str | None = None) -> Seen:
    """All policies, or the one called ``name``. One who may not list all namespaces at once gets them one by one. Raises
    Forbidden where nothing can be read."""
    try:
        return Seen(reached.namespace, await reached.policies(name))
    except Forbidden as problem:
        if reached.namespace is not None:
            raise
        try:
            namespaces = [each["metadata"]["name"] for each in await reached.cluster.list(NAMESPACE)]
        except Forbidden:
            raise Forbidden(f"{problem.message}; name your namespace with -n", reason="Unavailable") from problem
        seen = await _one_by_one(reached, namespaces)
        if len(seen.unread) == len(namespaces):
            raise
        return seen


async def _one_by_one(reached: Reached, namespaces: list[str]) -> Seen:
    found: list[Manifest] = []
    unread: list[str] = []
    for place, namespace in enumerate(namespaces):
        try:
            found += await reached.cluster.list(POLICY, namespace)
        except Forbidden:
            unread.append(namespace)
        except Unavailable:
            # It stays away: what is known now is more than a timeout for each of the others.
            return Seen(None, tuple(found), (*unread, *namespaces[place:]))
    return Seen(None, tuple(found), tuple(unread))


async def namespace_labels(reached: Reached) -> dict[str, dict[str, str]]:
    """The labels of each namespace that is worked in, as far as one may read them."""
    try:
        if reached.namespace is None:
            found = await reached.cluster.list(NAMESPACE)
        else:
            one = await reached.cluster.get(NAMESPACE, reached.namespace)
            found = (one,) if one else ()
    except Forbidden:
        # A tenant may not; what is missing is told with each policy.
        return {}
    return {each["metadata"]["name"]: dict(each["metadata"].get("labels", {})) for each in found}
