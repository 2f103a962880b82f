"""Objects in a bucket that several databases use: an object goes only when every one of them has no row that must keep it (M8, X3).

Each database knows its own rows only. So before an object is deleted, all others of the run are asked, and those that keep objects
in its bucket, each in the same run, which fixed its clock and cut-offs there. One that is away, suspended, or not in the plan lets
none go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from tenant_retention.domain.definition import RetentionDefinition
from tenant_retention.domain.errors import NotReady
from tenant_retention.domain.names import purpose_of
from tenant_retention.domain.orphans import ObjectRow, StoredObject
from tenant_retention.domain.ports.enforcement import Claim, EnforcementDatabase
from tenant_retention.domain.ports.files import StoredFile
from tenant_retention.enforcement.persistence import Persistence

NAMED_IN_PART = "NamedInPart"
"""Why a row's object stays: a row of another database means one of the versions that this one means."""


@dataclass(frozen=True)
class Sorted:
    """``free``: nobody else keeps the object. ``named``: a staying row of another database means it too: this row goes alone,
    the object with that one. ``in_part``: that row means one version of several; both stay."""

    free: tuple[Claim, ...]
    named: tuple[Claim, ...] = ()
    in_part: tuple[Claim, ...] = ()


def sharing(definition: RetentionDefinition, bucket: str, database: str) -> tuple[str, ...]:
    """The other databases of the policy (names) with a category whose objects are in this bucket (purpose)."""
    links = [(each.database, each.objects or each.files) for each in definition.categories]
    users = {database for database, link in links if link is not None and link.bucket == bucket}
    return tuple(name for name in definition.database_names() if purpose_of(name) in users and name != database)


class SharedObjects:
    """Asks ``others``: purposes with the database, None for one that is not in this run."""

    def __init__(
        self,
        others: Mapping[str, EnforcementDatabase | None],
        run_id: UUID,
        persistence: Persistence,
    ) -> None:
        self._others = others
        self._run_id = run_id
        self._persistence = persistence

    def unnamed(self, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """Those whose key no row of another database names, in any version. Raises NotReady (SharedBucket) as ``sort``."""
        left = tuple(files)
        for database in self._databases():
            asked = [StoredObject(each.key, None, None) for each in left]
            free = self._persistence.patiently(database.unnamed_objects, asked)
            left = tuple(left[place] for place in free)
        return left

    def sort(self, claims: Sequence[Claim]) -> Sorted:
        """What may become of each claim. Raises NotReady (SharedBucket), or what a database raises: then none may go."""
        objects = [ObjectRow(claim.key, claim.version) for claim in claims]
        named: dict[int, bool] = {}
        for database in self._databases():
            for found in self._persistence.patiently(database.objects_named_here, self._run_id, objects):
                named[found.place] = named.get(found.place, False) or found.in_part
        return Sorted(
            free=tuple(claim for place, claim in enumerate(claims) if place not in named),
            named=tuple(claim for place, claim in enumerate(claims) if named.get(place) is False),
            in_part=tuple(claim for place, claim in enumerate(claims) if named.get(place) is True),
        )

    def _databases(self) -> Iterator[EnforcementDatabase]:
        for purpose, database in self._others.items():
            if database is None:
                raise NotReady(f"database {purpose} uses the bucket too and is not in this run", reason="SharedBucket")
            yield database
