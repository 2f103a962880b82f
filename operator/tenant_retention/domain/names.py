"""Names of everything the operator makes: a readable part, cut, then always ten hex digits of SHA-256 (PROVISIONING.md section 2)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

DATABASE_NAME_LIMIT = 48
"""Bytes of a database's name, so that role suffixes still fit PostgreSQL's 63."""
BUCKET_NAME_LIMIT = 63
CRON_JOB_NAME_LIMIT = 52
OBJECT_NAME_LIMIT = 63
_DIGEST_DIGITS = 10


@dataclass(frozen=True, order=True)
class Place:
    """Which store of a policy: its purpose, the further region that it lies in, the unit that has it to itself (D3)."""

    purpose: str
    region: str = ""
    unit: str = ""

    @property
    def name(self) -> str:
        """``Analytical``, ``Analytical/APAC``, ``Analytical:clinic`` or ``Analytical/APAC:clinic``; no two are equal."""
        return self.purpose + (f"/{self.region}" if self.region else "") + (f":{self.unit}" if self.unit else "")

    @property
    def label(self) -> str:
        """The same in names of objects: ``analytical``; with a region or unit always with a digest, as ``a-b``/``c`` and
        ``a``/``b-c`` read alike."""
        purpose = purpose_label(self.purpose)
        if not self.region and not self.unit:
            return purpose
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:_DIGEST_DIGITS]
        return f"{'-'.join(word for word in (purpose, self.region.lower(), self.unit) if word)}-{digest}"


def purpose_of(name: str) -> str:
    """The purpose in the name of a place."""
    return re.split("[/:]", name, maxsplit=1)[0]


@dataclass(frozen=True)
class StoreIdentity:
    """What makes a store this store: two stores with equal names after cutting still differ by the digest.

    ``installation``: the operator installation's id (chart value; default the UID of kube-system).
    """

    installation: str
    namespace: str
    policy: str
    purpose: str
    region: str = ""
    unit: str = ""

    def digest(self) -> str:
        """Ten hex digits over all parts, each length-prefixed so that no two identities collide by concatenation."""
        parts = (self.installation, self.namespace, self.policy, self.purpose, self.region, self.unit)
        text = "".join(f"{len(part.encode())}:{part}" for part in parts)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]

    def store_id(self) -> str:
        """The name of the ledger entry (DataStore), a DNS label."""
        return self._name("-", OBJECT_NAME_LIMIT)

    def database(self) -> str:
        """The database's name: lower-case, underscores, at most 48 bytes."""
        return self._name("_", DATABASE_NAME_LIMIT)

    def bucket(self) -> str:
        """The bucket's name by S3's rules: 3 to 63 of lower-case letters, digits and hyphens."""
        return self._name("-", BUCKET_NAME_LIMIT)

    def cache(self) -> str:
        """The cache's name, which begins its users' names and every key: a DNS label, so no pattern and no colon is in it."""
        return self._name("-", OBJECT_NAME_LIMIT)

    def _name(self, separator: str, limit: int) -> str:
        readable = _readable((self.namespace, self.policy, self.purpose, self.region, self.unit), separator)
        return readable[: limit - _DIGEST_DIGITS - 1].strip(separator) + separator + self.digest()


def bounded(name: str, limit: int) -> str:
    """``name`` if it fits ``limit`` bytes, else cut with a hash of the whole behind it."""
    if len(name.encode()) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_DIGITS]
    return name[: limit - _DIGEST_DIGITS - 1].rstrip("-_.") + "-" + digest


def purpose_label(purpose: str) -> str:
    """``Analytical`` as it appears in object names: ``analytical``; CamelCase words are joined by hyphens."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", purpose).lower()


def _readable(parts: tuple[str, ...], separator: str) -> str:
    words = [re.sub(r"[^a-z0-9]+", separator, purpose_label(part)).strip(separator) for part in parts if part]
    text = separator.join(word for word in words if word)
    return text if text[:1].isalpha() else "t" + separator + text
