"""Makes one tenant's cache on a server: the marker first, then its users, saved and read back."""

from __future__ import annotations

from tenant_retention.domain.caches import RemoveUser, WantedCache, plan_cache, require_own_server
from tenant_retention.domain.errors import Invalid
from tenant_retention.domain.ports.caches import CacheAdministration


def provision_cache(administration: CacheAdministration, wanted: WantedCache) -> tuple[str, ...]:
    """Makes it so; what was changed, described. A kill at any line is continued by the next call.

    Raises Invalid (StoreConflict, StoreReleased, IsolationBroken: nothing was touched; SettingNotKept) or Unavailable.
    """
    steps = plan_cache(wanted, administration.observe(wanted))
    if not steps:
        # Also then: a kill may have come before it.
        administration.save()
        return ()
    if any(step.username == wanted.owner for step in steps):
        administration.apply(steps[0])
        _require_alone(administration, wanted)
    for step in steps:
        administration.apply(step)
    administration.save()
    left = plan_cache(wanted, administration.observe(wanted))
    if left:
        raise Invalid(
            f"the server does not keep what it was told: {', '.join(step.describe() for step in left)}; look at its ACL",
            reason="SettingNotKept",
        )
    return tuple(step.describe() for step in steps)


def _require_alone(administration: CacheAdministration, wanted: WantedCache) -> None:
    """Two namespaces may have claimed the server at once: both see it and step back, before anybody has a login."""
    try:
        require_own_server(wanted, administration.observe(wanted))
    except Invalid:
        administration.apply(RemoveUser(wanted.owner))
        administration.save()
        raise
