"""The ledger (DataStore objects): what is written before a store is made, and whose the store is now (X5).

A claim is compared by UID. A policy that went is a released store, whoever comes later under the same name: only an
administrator, by ``spec.claimRef`` without a UID, says that the new one is the old one (PROVISIONING.md section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tenant_retention.api.v1alpha1.common import API_VERSION, ObjectRef
from tenant_retention.api.v1alpha1.datastore import ClassSnapshot, DataStore, DataStoreSpec
from tenant_retention.api.v1alpha1.datastoreclass import DataStoreClass
from tenant_retention.domain.errors import Invalid, StoreReleased
from tenant_retention.domain.manifests.metadata import place_labels
from tenant_retention.domain.names import Place, StoreIdentity
from tenant_retention.domain.ports.cluster import Manifest

NAMESPACE_LABEL = "tenantretention.io/namespace"
POLICY_LABEL = "tenantretention.io/policy"


@dataclass(frozen=True)
class Claimant:
    """The policy that wants its stores, and the namespace it lives in, both by UID."""

    namespace: str
    namespace_uid: str
    policy: str
    policy_uid: str


class Standing(StrEnum):
    """How a ledger entry stands to a claimant. CONFIRMED: an administrator named it; its UID is to be filled in."""

    BOUND = "Bound"
    CONFIRMED = "Confirmed"
    RELEASED = "Released"


def standing(spec: DataStoreSpec, claimant: Claimant) -> Standing:
    """Whether ``claimant`` has the store, may take it now, or must wait for an administrator (X5)."""
    claim = spec.claim_ref
    if claim is None or names_another(spec, claimant):
        return Standing.RELEASED
    if claim.uid is None:
        return Standing.CONFIRMED
    return Standing.BOUND if claim.uid == claimant.policy_uid else Standing.RELEASED


def selector(namespace: str, policy: str) -> str:
    """The label selector of one policy's ledger entries."""
    return f"{NAMESPACE_LABEL}={namespace},{POLICY_LABEL}={policy}"


def entry(identity: StoreIdentity, claimant: Claimant, store_class: DataStoreClass) -> Manifest:
    """The ledger entry of a store that does not exist yet; written before the store (rule 10 of ARCHITECTURE.md)."""
    spec = DataStoreSpec.from_object(
        {
            "installation": identity.installation,
            "type": store_class.spec.type,
            "provisioner": store_class.spec.provisioner,
            "className": store_class.metadata.name,
            "classSnapshot": ClassSnapshot(
                uid=store_class.metadata.uid or "",
                generation=store_class.metadata.generation,
                embedded=store_class.spec.embedded,
                cloud_native_pg=store_class.spec.cloud_native_pg,
                existing=store_class.spec.existing,
            ).to_object(),
            "namespace": claimant.namespace,
            "namespaceUid": claimant.namespace_uid,
            "policyRef": _reference(claimant).to_object(),
            "purpose": identity.purpose,
            "storeId": identity.digest(),
            "name": _name(identity, store_class.spec.type),
            "claimRef": _reference(claimant).to_object(),
            **({"region": store_class.spec.region} if store_class.spec.region else {}),
            **({"unit": identity.unit} if identity.unit else {}),
        }
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "DataStore",
        "metadata": {
            "name": identity.store_id(),
            "labels": {
                NAMESPACE_LABEL: claimant.namespace,
                POLICY_LABEL: claimant.policy,
                **place_labels(Place(identity.purpose, identity.region, identity.unit)),
            },
        },
        "spec": spec.to_object(),
    }


def identity_of(spec: DataStoreSpec) -> StoreIdentity:
    """The store's identity. A home store's entry names its class's region, too, which is no part of it: the id tells."""
    for region in ("", spec.region or ""):
        identity = StoreIdentity(
            spec.installation, spec.namespace, spec.policy_ref.name, spec.purpose, region, spec.unit or ""
        )
        if identity.digest() == spec.store_id:
            return identity
    return StoreIdentity(spec.installation, spec.namespace, spec.policy_ref.name, spec.purpose)


def place_of(spec: DataStoreSpec) -> Place:
    """Which store of its policy an entry is."""
    identity = identity_of(spec)
    return Place(identity.purpose, identity.region, identity.unit)


def _name(identity: StoreIdentity, type_: str) -> str:
    """What the store is called at its server."""
    return {"PostgreSQL": identity.database, "S3": identity.bucket, "Redis": identity.cache}[type_]()


def bind(claimant: Claimant) -> Manifest:
    """The patch that fills in the UID of the policy that an administrator confirmed."""
    return {"spec": {"claimRef": _reference(claimant).to_object()}}


def release() -> Manifest:
    """The patch that ends a claim. The whole reference goes: one that is set afterwards is an administrator's word."""
    return {"spec": {"claimRef": None}}


def rewrite(released: StoreReleased) -> Manifest:
    """The patch that makes an entry say what the store's marker says: of an earlier policy or namespace, and nobody's until
    confirmed."""
    policy = {"policyRef": {"uid": released.policy_uid}} if released.policy_uid else {}
    return {"spec": {"namespaceUid": released.namespace_uid, **policy, "claimRef": None}}


def settle(claimant: Claimant) -> Manifest:
    """The patch that follows the marker of a store that was bound again: the namespace and the policy that have it now."""
    return {"spec": {"namespaceUid": claimant.namespace_uid, "policyRef": {"uid": claimant.policy_uid}}}


def is_settled(spec: DataStoreSpec, claimant: Claimant) -> bool:
    """Whether the entry names the claimant as the one whose UIDs the store's marker has."""
    return (spec.namespace_uid, spec.policy_ref.uid) == (claimant.namespace_uid, claimant.policy_uid)


def made_anew(store: DataStore) -> Invalid:
    """Why nothing is made for a store in the namespace of its name: that is another one until an administrator says so (X2)."""
    return Invalid(
        f"namespace {store.spec.namespace} was made anew, which may be another customer's: no server is made in it for this "
        f"store, and its volume stays, until an administrator binds the store (spec.claimRef): "
        f"{_command(store, store.spec.namespace, store.spec.policy_ref.name)}",
        reason="StoreReleased",
        field="spec.claimRef",
    )


def names_another(spec: DataStoreSpec, claimant: Claimant) -> bool:
    """Whether ``spec.claimRef`` names a policy that never can have the store: one of another name."""
    claim = spec.claim_ref
    return claim is not None and (claim.namespace, claim.name) != (claimant.namespace, claimant.policy)


def holder(spec: DataStoreSpec) -> ObjectRef | None:
    """The policy that an entry is claimed for; None where there is no claim, or it names one that never can have the store."""
    claim = spec.claim_ref
    mine = claim is not None and (claim.namespace, claim.name) == (spec.namespace, spec.policy_ref.name)
    return claim if mine else None


def refuse_other(store: DataStore, claimant: Claimant) -> Invalid:
    """What a policy is told whose store an administrator gave to a policy that cannot have it, with the way back."""
    claim = store.spec.claim_ref
    named = f"{claim.namespace}/{claim.name}" if claim else "no policy"
    return Invalid(
        f"spec.claimRef of DataStore {store.metadata.name} names policy {named}, which cannot have it: a store stays with the "
        f"policy of the name it was made for, {claimant.namespace}/{claimant.policy}; nothing is deleted from it until "
        f"claimRef names that one: {_command(store, claimant.namespace, claimant.policy)}",
        reason="StoreReleased",
        field="spec.claimRef",
    )


def refuse_released(store: DataStore, claimant: Claimant) -> Invalid:
    """What a policy is told whose store was another policy's, with the command that binds it again."""
    command = _command(store, claimant.namespace, claimant.policy)
    return Invalid(
        f"spec.claimRef of DataStore {store.metadata.name}: the store holds data of a policy that is gone, or of an "
        "earlier namespace of this name; nothing is "
        f"deleted from it until an administrator binds it to this policy: {command}",
        reason="StoreReleased",
        field="spec.claimRef",
    )


def _command(store: DataStore, namespace: str, policy: str) -> str:
    return (
        f"kubectl patch datastore {store.metadata.name} --type=merge -p "
        f'\'{{"spec":{{"claimRef":{{"namespace":"{namespace}","name":"{policy}"}}}}}}\''
    )


def _reference(claimant: Claimant) -> ObjectRef:
    return ObjectRef(namespace=claimant.namespace, name=claimant.policy, uid=claimant.policy_uid)
