"""The keys of method Hash that the databases of ``FakeTenantStores`` have; a key is its fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenant_retention.domain.hash_keys import HashKeyState
from tenant_retention.domain.ports.stores import DatabaseRequest


class FakeTenantHashKeys:
    """``hash_keys``: by database; ``destroyed_hash_keys``: those that were destroyed in it."""

    on_effect: Callable[[str], None]

    def __init__(self) -> None:
        super().__init__()
        self.hash_keys: dict[str, str] = {}
        self.destroyed_hash_keys: dict[str, set[str]] = {}
        self._made_hash_keys = 0

    def share_hash_key(self, source: DatabaseRequest, targets: Sequence[DatabaseRequest]) -> None:
        """See the port."""
        if source.name not in self.hash_keys:
            self.on_effect(f"make hash key in {source.name}")
            self._made_hash_keys += 1
            self.hash_keys[source.name] = f"key {self._made_hash_keys}"
        key = self.hash_keys[source.name]
        for target in targets:
            if target.name not in self.hash_keys and key not in self.destroyed_hash_keys.get(target.name, ()):
                self.on_effect(f"take hash key in {target.name}")
                self.hash_keys[target.name] = key

    def destroy_hash_key(self, request: DatabaseRequest) -> None:
        """See the port."""
        key = self.hash_keys.pop(request.name, None)
        if key is not None:
            self.on_effect(f"destroy hash key in {request.name}")
            self.destroyed_hash_keys.setdefault(request.name, set()).add(key)

    def hash_key_state(self, request: DatabaseRequest) -> HashKeyState:
        """What ``prepare_database`` tells of it."""
        rules, purpose = request.definition, request.identity.purpose
        mine = [each for each in rules.categories if each.lies_in(purpose) and each.anonymize_after is not None]
        columns = [column for each in mine for name in each.tables for column in rules.table(name).columns]
        needed = any(column.anonymize is not None and column.anonymize.method == "Hash" for column in columns)
        destroyed = frozenset(self.destroyed_hash_keys.get(request.name, ()))
        return HashKeyState(needed, self.hash_keys.get(request.name), destroyed)
