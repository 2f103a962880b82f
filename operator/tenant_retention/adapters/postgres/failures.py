"""From PostgreSQL's errors to the domain's three, where the error comes from inside a tenant database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from pydantic import BaseModel, ValidationError

from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable

Answer = TypeVar("Answer", bound=BaseModel)
_OWN_CODES: dict[str, type[RetentionError]] = {"RTI00": Invalid, "RTN00": NotReady, "RTG00": Invalid}
"""SQLSTATEs that our own functions raise: the reason word is in the DETAIL."""
_REASONS = {
    "55P03": "LockTimeout",
    "57014": "ServerTooSlow",
    "40P01": "Deadlock",
    "42501": "PrivilegesMissing",
}


@contextmanager
def translated() -> Iterator[None]:
    """Raises the domain's error for psycopg's.

    Our own refusals become Invalid or NotReady with their reason; a missing privilege is Invalid (PrivilegesMissing):
    somebody took it away; everything else is Unavailable: tried again, nothing is deleted meanwhile.
    """
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
            # Not the server's doing: a mistake of ours, which must not look like an outage.
            raise
        # Not chained: the original's text may quote a row.
        raise domain_error(error) from None


def domain_error(error: psycopg.Error) -> RetentionError:
    """The domain's error for one of PostgreSQL: its message names no row's content."""
    code = error.sqlstate or ""
    message = error.diag.message_primary or str(error).strip() or type(error).__name__
    hint = f"; {error.diag.message_hint}" if error.diag.message_hint else ""
    if code in _OWN_CODES:
        return _OWN_CODES[code](f"{message}{hint}", reason=error.diag.message_detail or "Refused")
    reason = _REASONS.get(code, "Unavailable" if code else "ServerUnreachable")
    kind = Invalid if code == "42501" else Unavailable
    return kind(message, reason=reason)


def answer(model: type[Answer], told: Any) -> Answer:
    """What one of our functions told. Raises Invalid (Unforeseen) for a value that no reader can hold: that ends the work it
    belongs to, never the run's other work. The message names fields, never values."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        fields = sorted({".".join(map(str, found["loc"])) for found in error.errors(include_input=False)})
        raise Invalid(
            f"the database tells what this version cannot read ({model.__name__}: {', '.join(fields)}); report it",
            reason="Unforeseen",
        ) from None
