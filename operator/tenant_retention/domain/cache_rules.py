"""Whether a policy has a cache, and what the profile's categories keep there (T1, T6)."""

from __future__ import annotations

from collections.abc import Mapping

from tenant_retention.api.v1alpha1.retentionprofile import Category, RetentionProfileSpec
from tenant_retention.api.v1alpha1.tenantretentionpolicy import TenantRetentionPolicySpec
from tenant_retention.domain.definition import CacheDefinition
from tenant_retention.domain.errors import Invalid

CACHE = "Cache"
"""The purpose of a policy's cache; there is one at most."""


def names_cache(policy: TenantRetentionPolicySpec) -> bool:
    """Whether the policy names a cache. No default makes one: only the customer knows whether its application has one."""
    return any(request.purpose == CACHE for request in policy.stores)


def cache_of(category: Category) -> CacheDefinition | None:
    """Which keys are the category's; None where nothing of it is cached."""
    link = category.cache
    return None if link is None else CacheDefinition(prefix=link.prefix, table=link.table, key_column=link.key_column)


def check_cache(profile: RetentionProfileSpec, policy: TenantRetentionPolicySpec, before: Mapping[str, str]) -> None:
    """Raises Invalid (ClassInvalid) where an entry of ``spec.stores`` is the cache of one unit or is gone that was there.

    ``before``: the stores of the last good choice. Nobody would look through the keys of a cache that the policy names no
    more, and those without an age would stay for ever.
    """
    if any(request.purpose == CACHE and request.unit for request in policy.stores):
        raise Invalid(
            "spec.stores[Cache].unit: a policy has one cache, which no unit has to itself; remove the unit",
            reason="ClassInvalid",
            field="spec.stores[Cache].unit",
        )
    if CACHE in before and not names_cache(policy) and any(category.cache for category in profile.categories):
        raise Invalid(
            "spec.stores[Cache]: the policy has a cache, whose keys would end no more; put the entry back",
            reason="ClassInvalid",
            field="spec.stores[Cache]",
        )
