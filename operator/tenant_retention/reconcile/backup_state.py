"""What is kept of a policy's backups in the operator's namespace: the fingerprint of their key, and which keep is in force (T6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tenant_retention.api.v1alpha1.conditions import Reason
from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.domain.backup_rules import BackupRules
from tenant_retention.domain.backup_status import backup_debt
from tenant_retention.domain.backups import KEY_BYTES, StoredBackup, key_id
from tenant_retention.domain.conditions import instant, moment
from tenant_retention.domain.durations import Period
from tenant_retention.domain.errors import Invalid, NotReady
from tenant_retention.domain.ledger import identity_of
from tenant_retention.domain.manifests.backup_key import KEY, backup_key_name, backup_key_secret
from tenant_retention.domain.manifests.inputs import PolicyRef
from tenant_retention.domain.manifests.operator_secrets import administrator_secret
from tenant_retention.domain.ports.cluster import SECRET, Manifest
from tenant_retention.domain.ports.stores import BucketRequest, BucketServer
from tenant_retention.reconcile.world import World, kept_secret, secret_values

_WHAT = "backups"


@dataclass(frozen=True)
class BackupState:
    """Works for one policy."""

    world: World
    reference: PolicyRef

    async def keep(self, rules: BackupRules, found: tuple[StoredBackup, ...] | None) -> str:
        """How long backups are kept now. A shorter keep counts at once. A longer one when every backup that was made before
        has gone: their rows left the live store with room for the shorter life only (M10)."""

        def fresh(known: dict[str, str]) -> dict[str, str]:
            before, now = known.get("keep"), instant(self.world.now())
            if before is None or _at_most(rules.keep, before):
                settled = {"keep": rules.keep, "wanted": rules.keep}
                return known if settled.items() <= known.items() else {**known, **settled, "since": now}
            if known.get("wanted") != rules.keep:
                return {**known, "wanted": rules.keep, "since": now}
            since = moment(known["since"])
            gone = found is not None and all(each.taken_at >= since for each in found)
            return {**known, "keep": rules.keep} if gone else known

        return (await kept_secret(self.world, self._kept(), fresh))["keep"]

    async def left(self, server: BucketServer, entry: DataStore) -> dict[str, Any] | None:
        """The debt of backups that no policy has any more; None where it was never said how long they are kept."""
        keep = secret_values(await self.world.cluster.get(SECRET, *self._name())).get("keep")
        if keep is None:
            return None
        request = BucketRequest(server, identity_of(entry.spec), entry.spec.namespace_uid, "", False, {})
        found = await self.world.call(server.url, self.world.stores.list_backups, request)
        return backup_debt(found, keep, self.world.now())

    async def key(self, found: tuple[StoredBackup, ...] | None) -> str:
        """The fingerprint of the policy's key. The key is made once, and never again: another one would leave the backups that
        there are unreadable and say nothing.

        Raises Invalid (BackupKeyLost, BackupKeyWrong); NotReady while nobody knows whether there are backups already.
        """
        name, where = backup_key_name(self.reference), self.reference.namespace
        pinned = secret_values(await self.world.cluster.get(SECRET, *self._name())).get("keyId")
        secret = await self.world.cluster.get(SECRET, name, where)
        if secret is None and pinned is None and found is None:
            raise NotReady("nobody could look into the bucket of the backups yet", reason=Reason.PROVISIONING)
        if secret is None and pinned is None and not found:
            made = backup_key_secret(self.reference, self.world.entropy(KEY_BYTES).hex())
            # Whoever comes second finds the first one's.
            await self.world.cluster.create(made)
            secret = await self.world.cluster.get(SECRET, name, where)
        text = secret_values(secret).get(KEY, "")
        if re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", text) is None:
            raise self._lost("is gone" if secret is None else f"has no {KEY} of {2 * KEY_BYTES} hex digits")
        mine = key_id(bytes.fromhex(text))
        if pinned is not None and pinned != mine:
            raise Invalid(
                f"Secret {name} has another key than the one that sealed this policy's backups; no backup is made: put that "
                f"one back, or, to give up the backups that it sealed, {self._give_up()}",
                reason=Reason.BACKUP_KEY_WRONG,
            )
        if pinned is None:
            await kept_secret(self.world, self._kept(), lambda known: {**known, "keyId": mine})
        return mine

    def _lost(self, how: str) -> Invalid:
        return Invalid(
            f"Secret {backup_key_name(self.reference)} {how}: no backup can be made, and none can be restored; put the key back "
            f"from where you keep a copy, or, to give up the backups that it sealed, {self._give_up()}",
            reason=Reason.BACKUP_KEY_LOST,
        )

    def _give_up(self) -> str:
        name, where = self._name()
        return (
            f"remove them from their bucket and delete Secret {backup_key_name(self.reference)} here and Secret {name} in "
            f"namespace {where}: then a new key is made"
        )

    def _kept(self) -> Manifest:
        return administrator_secret(self.world.operator, self.reference, _WHAT, {})

    def _name(self) -> tuple[str, str]:
        meta = self._kept()["metadata"]
        return meta["name"], meta["namespace"]


def _at_most(keep: str, bound: str) -> bool:
    return Period.parse(keep).never_longer_than(Period.parse(bound))
