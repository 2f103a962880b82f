"""Which stores a policy needs, and from which class each comes (D1, D2, X2): pure choice, every refusal with its next step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, get_args

from tenant_retention.api.v1alpha1.datastore import DataStore
from tenant_retention.api.v1alpha1.datastoreclass import IN_NAMESPACE, DataStoreClass
from tenant_retention.api.v1alpha1.retentionprofile import Category, DatabasePurpose, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import StoreRequest, TenantRetentionPolicySpec
from tenant_retention.domain.archive_rules import DATABASE, FILES, has_archive
from tenant_retention.domain.backups import BACKUPS
from tenant_retention.domain.cache_rules import CACHE, names_cache
from tenant_retention.domain.definition import ARCHIVE
from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable
from tenant_retention.domain.names import Place

_FACTORS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}


DATABASE_PURPOSES: frozenset[str] = frozenset({*get_args(DatabasePurpose), ARCHIVE})
"""Every purpose that a database can have."""


DIALOGUE_CHANNELS: Final = frozenset({"Chat", "Email", "Text", "WhatsApp"})
"""Channels whose messages lie in the Dialogue database (D2). A task is a record without content, like a call (P5)."""


@dataclass(frozen=True)
class WantedStore:
    """One store a policy needs: its purpose, ``PostgreSQL`` or ``S3``, and what the policy says about it. ``leaving``: the
    policy asks for it no more, but its rows go on expiring."""

    purpose: str
    type: str
    request: StoreRequest | None
    leaving: bool = False
    region: str = ""
    unit: str = ""

    @property
    def place(self) -> Place:
        """Which store of the policy it is; the region only where it is a further one."""
        return Place(self.purpose, self.region, self.unit)

    @property
    def field(self) -> str:
        """The field of the policy that names its class."""
        return f"spec.stores[{self.place.name}].className"


_ABOUT_THE_SERVER = frozenset({"ServerUnreachable", "ServerTooSlow", "ServerTooOld"})
_ABOUT_THE_ACCESS = {
    "CertificateInvalid": "spec.existing.tls.caSecretRef",
    "AuthenticationFailed": "spec.existing.adminSecretRef",
    "PrivilegesMissing": "spec.existing.adminSecretRef",
}


class ClassMissing(NotReady):
    """The class that a policy names does not exist (yet): Helm and Flux apply in any order."""


def needed_stores(
    profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec, archive: str = DATABASE
) -> dict[str, str]:
    """By purpose the type: databases where there are tables, buckets where there are objects, a cache where the policy names
    one. The Dialogue database only as soon as a dialogue channel is used (D2). An archive where rows move to one; ``archive``: its
    type. A bucket stays also when nothing moves to it any more: its files go on expiring."""
    databases, buckets = _purposes(profile)
    channels = policy.channels or (profile.channels.default if profile.channels else ())
    # A profile that names no channels says nothing about them: then every database is needed.
    if channels and not DIALOGUE_CHANNELS & set(channels):
        databases -= {"Dialogue"}
    buckets |= {ARCHIVE} if archive == FILES else set()
    databases |= {ARCHIVE} if archive != FILES and has_archive(policy) else set()
    caches = {CACHE: "Redis"} if _is_cached(profile) and names_cache(policy) else {}
    return {**dict.fromkeys(sorted(databases), "PostgreSQL"), **dict.fromkeys(sorted(buckets), "S3"), **caches}


def wanted_stores(needed: Mapping[str, str], policy: TenantRetentionPolicySpec) -> tuple[WantedStore, ...]:
    """The home stores that a profile needs (``needed_stores``), each with what the policy says about it."""
    return tuple(WantedStore(purpose, type_, _home_request(policy, purpose)) for purpose, type_ in needed.items())


def _home_request(policy: TenantRetentionPolicySpec, purpose: str) -> StoreRequest | None:
    """The entry without a region, else the only one whose region no unit lies in."""
    mine = [each for each in policy.stores if each.purpose == purpose and not each.unit]
    regions = {unit.region for unit in policy.units}
    plain = [each for each in mine if not each.region] or [each for each in mine if each.region not in regions]
    return plain[0] if len(plain) == 1 else None


def check_stores(profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec) -> None:
    """Raises Invalid (ClassInvalid) naming an entry of ``spec.stores`` that the profile has no use for, or several of which
    each could be the home store's. An archive may be named before anything is archived; of backups ``check_request`` knows."""
    databases, buckets = _purposes(profile)
    caches = {CACHE} if _is_cached(profile) else set()
    surplus = {str(request.purpose) for request in policy.stores} - databases - buckets - caches - {ARCHIVE, BACKUPS}
    if surplus:
        name = min(surplus)
        raise Invalid(
            f"spec.stores[{name}].purpose: the profile {policy.profile_ref.name} needs no {name} store; remove the entry",
            reason="ClassInvalid",
            field=f"spec.stores[{name}].purpose",
        )
    regions = {unit.region for unit in policy.units}
    for purpose in sorted(databases | buckets):
        mine = [each for each in policy.stores if each.purpose == purpose and not each.unit]
        plain = [each for each in mine if not each.region]
        if not plain and len(unclaimed := [each.region for each in mine if each.region not in regions]) > 1:
            raise Invalid(
                f"spec.stores[{purpose}].region: no unit lies in {' or '.join(unclaimed)}, so each could be meant for the "
                "home store; leave the region out of the home store's entry",
                reason="ClassInvalid",
                field=f"spec.stores[{purpose}].region",
            )


def _is_cached(profile: RetentionProfileSpec) -> bool:
    return any(category.cache is not None for category in profile.categories)


def _purposes(profile: RetentionProfileSpec) -> tuple[set[str], set[str]]:
    databases = {str(profile.database_of(category)) for category in profile.categories if _has_data(category)}
    buckets = {str(category.objects.bucket) for category in profile.categories if category.objects is not None}
    return databases, buckets


def _has_data(category: Category) -> bool:
    """Whether a database decides about it: rows, or files that go by their last modification."""
    return bool(category.tables) or (category.objects is not None and category.objects.prefix is not None)


def choose_class(
    wanted: WantedStore,
    classes: Sequence[DataStoreClass],
    *,
    namespace: str,
    namespace_labels: dict[str, str],
    ledger: Sequence[DataStore],
) -> DataStoreClass:
    """The class that a new store is made from. ``ledger``: all entries, for the limits of the class.

    Raises ClassMissing; Invalid (NoDefaultClass, ClassNotAllowed, ClassInvalid, ClassLimitExceeded) naming field,
    value and bound.
    """
    chosen = _named(wanted, classes) if wanted.request and wanted.request.class_name else _default(wanted, classes)
    name = chosen.metadata.name
    if chosen.spec.type != wanted.type:
        raise Invalid(
            f"{wanted.field}: class {name} is of type {chosen.spec.type}, the {wanted.place.name} store needs {wanted.type}; "
            "name a class of that type",
            reason="ClassInvalid",
            field=wanted.field,
        )
    if wanted.request and wanted.request.region and chosen.spec.region != wanted.request.region:
        field = f"spec.stores[{wanted.place.name}].region"
        raise Invalid(
            f"{field}: class {name} lies in region {chosen.spec.region or 'none'}, not in {wanted.request.region}; "
            "name a class of that region",
            reason="ClassInvalid",
            field=field,
        )
    selector = chosen.spec.allowed_namespaces
    if selector is not None and not selector.matches(namespace_labels):
        raise Invalid(
            f"{wanted.field}: class {name} does not allow namespace {namespace} (spec.allowedNamespaces); "
            "label the namespace or name another class",
            reason="ClassNotAllowed",
            field=wanted.field,
        )
    _check_limits(wanted, chosen, namespace, ledger)
    return chosen


def refuse_second_server(wanted: WantedStore, chosen: DataStoreClass, siblings: Sequence[DataStore]) -> None:
    """Raises Invalid (ClassInvalid) where a further store would need a second server of ours of its type: a policy has one of
    each provisioner."""
    name, kind = chosen.metadata.name, (wanted.type, chosen.spec.provisioner)
    servers = [each for each in siblings if (each.spec.type, each.spec.provisioner) == kind]
    others = sorted({each.spec.class_name for each in servers} - {name})
    if wanted.place != Place(wanted.purpose) and chosen.spec.provisioner in IN_NAMESPACE and others:
        raise Invalid(
            f"{wanted.field}: class {name} is {kind[1]}, and the policy has its one {kind[1]} server of type {kind[0]} from "
            f"class {others[0]}; name a class of another provisioner",
            reason="ClassInvalid",
            field=wanted.field,
        )


def pinned_class(wanted: WantedStore, store: DataStore) -> None:
    """A store never moves: raises Invalid (StoreConflict) where the policy now names another class than the ledger's."""
    asked = wanted.request.class_name if wanted.request else None
    if asked is not None and asked != store.spec.class_name:
        raise Invalid(
            f"{wanted.field}: the {wanted.place.name} store was made from class {store.spec.class_name} and does not move to "
            f"{asked}; write {store.spec.class_name} or leave the field out",
            reason="StoreConflict",
            field=wanted.field,
        )


def of_class(problem: RetentionError, class_name: str, type_: str) -> RetentionError:
    """What went wrong at a server that already runs, with the field of the class that leads there."""
    address = "spec.existing.endpoint" if type_ == "S3" else "spec.existing.host"
    field = address if problem.reason in _ABOUT_THE_SERVER else _ABOUT_THE_ACCESS.get(problem.reason)
    # Not of subclasses: what they say besides would be lost.
    if type(problem) not in (Invalid, Unavailable) or field is None:
        return problem
    text = f"{problem.message} ({field} of DataStoreClass {class_name})"
    return type(problem)(text, reason=problem.reason, field=field)


def bytes_of(quantity: str) -> Decimal:
    """A Kubernetes quantity as a number, to compare two of them."""
    match = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", quantity)
    if match is None or match.group(2) not in _FACTORS:
        raise Invalid(f"{quantity!r} is not a quantity; write for example 10Gi", reason="ClassInvalid")
    return Decimal(match.group(1)) * _FACTORS[match.group(2)]


def _named(wanted: WantedStore, classes: Sequence[DataStoreClass]) -> DataStoreClass:
    name = wanted.request.class_name if wanted.request else None
    for found in classes:
        if found.metadata.name == name:
            return found
    raise ClassMissing(
        f"{wanted.field}: there is no DataStoreClass {name}; create it or name another one",
        reason="WaitingForClass",
        field=wanted.field,
    )


def _default(wanted: WantedStore, classes: Sequence[DataStoreClass]) -> DataStoreClass:
    region = (wanted.request.region if wanted.request else "") or None
    defaults = [
        found
        for found in classes
        if found.spec.default and found.spec.type == wanted.type and region in (None, found.spec.region)
    ]
    if len(defaults) == 1:
        return defaults[0]
    there = [found for found in classes if found.spec.type == wanted.type and found.spec.region == region]
    if wanted.region and not defaults and len(there) == 1:
        # The default of a type is the home stores'; the only class of a further region needs no word.
        return there[0]
    names = ", ".join(sorted(found.metadata.name for found in defaults)) or "none"
    step = (
        f"set spec.default: false on all but one of them, or name one in {wanted.field}"
        if defaults
        else f"set spec.default: true on one (kubectl get dsc), or name one in {wanted.field}"
    )
    raise Invalid(
        f"{wanted.field}: the default DataStoreClasses of type {wanted.type}{f' in region {region}' if region else ''} "
        f"are: {names}; exactly one is needed where the policy names no class; {step}",
        reason="NoDefaultClass",
        field=wanted.field,
    )


def _check_limits(wanted: WantedStore, chosen: DataStoreClass, namespace: str, ledger: Sequence[DataStore]) -> None:
    limits, name = chosen.spec.limits, chosen.metadata.name
    if limits is None:
        return
    if limits.stores_per_namespace is not None:
        used = sum(1 for store in ledger if store.spec.namespace == namespace and store.spec.class_name == name)
        if used >= limits.stores_per_namespace:
            raise Invalid(
                f"{wanted.field}: namespace {namespace} has {used} stores of class {name}, the limit is "
                f"{limits.stores_per_namespace} (spec.limits.storesPerNamespace); raise the limit or name another class",
                reason="ClassLimitExceeded",
                field=wanted.field,
            )
    asked = wanted.request.storage if wanted.request else None
    if asked and limits.storage_per_store and bytes_of(asked) > bytes_of(limits.storage_per_store):
        field = f"spec.stores[{wanted.place.name}].storage"
        raise Invalid(
            f"{field}: {asked} is more than {limits.storage_per_store} that class {name} allows "
            "(spec.limits.storagePerStore); ask for less or raise the limit",
            reason="ClassLimitExceeded",
            field=field,
        )
