"""What the watches have shown: which policies there are, and whether the watch still keeps up with the API server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tenant_retention.domain.ports.cluster import Manifest


class Seen:
    """An index of the policies by namespace and profile, fed by watches and compared with what a list says."""

    def __init__(self) -> None:
        self._policies: dict[tuple[str, str], tuple[str, int, str]] = {}
        self._generations: dict[tuple[str, str], tuple[int, bool]] = {}
        self._missed: frozenset[tuple[str, str]] = frozenset()

    def policy(self, namespace: str, name: str, body: Mapping[str, Any], *, gone: bool) -> bool:
        """Notes an event of a policy; whether it is about more than a status that we wrote ourselves."""
        if gone:
            self._policies.pop((namespace, name), None)
            return True
        profile = body.get("spec", {}).get("profileRef", {}).get("name", "")
        meta = body["metadata"]
        now = (meta["uid"], meta.get("generation", 0), profile)
        before = self._policies.get((namespace, name))
        self._policies[(namespace, name)] = now
        return before != now or meta.get("deletionTimestamp") is not None

    def policies(self) -> tuple[tuple[str, str], ...]:
        """All policies as (namespace, name)."""
        return tuple(sorted(self._policies))

    def policies_in(self, namespace: str) -> tuple[str, ...]:
        """Names of the policies of a namespace."""
        return tuple(name for where, name in sorted(self._policies) if where == namespace)

    def policies_with_profile(self, profile: str) -> tuple[tuple[str, str], ...]:
        """The policies that name ``profile``."""
        return tuple(sorted(key for key, (_, _, named) in self._policies.items() if named == profile))

    def changed(self, kind: str, identity: str, meta: Mapping[str, Any]) -> bool:
        """Whether this event is about the spec, not about a status that we wrote ourselves."""
        now = (meta.get("generation", 0), meta.get("deletionTimestamp") is not None)
        before = self._generations.get((kind, identity))
        self._generations[(kind, identity)] = now
        return before != now or now[1]

    def watch_lags(self, listed: Iterable[Manifest]) -> bool:
        """Whether the watch of policies is dead: a list shows, twice in a row, what no event has shown."""
        missed = set()
        for manifest in listed:
            meta = manifest["metadata"]
            uid, generation, _ = self._policies.get((meta["namespace"], meta["name"]), ("", -1, ""))
            if uid != meta["uid"] or generation < meta.get("generation", 0):
                missed.add((meta["uid"], str(meta.get("generation", 0))))
        lags = bool(missed & self._missed)
        self._missed = frozenset(missed)
        return lags
