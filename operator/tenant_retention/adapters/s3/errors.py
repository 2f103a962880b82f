"""What an object store's failure means to us; the only place that knows its codes. No key is ever part of a message."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from minio.error import InvalidResponseError, MinioAdminException, MinioException, S3Error, ServerError

from tenant_retention.domain.errors import Invalid, NotReady, RetentionError, Unavailable

AUTHENTICATION_CODES = frozenset(
    {
        "InvalidAccessKeyId",
        "InvalidAccessKey",
        "SignatureDoesNotMatch",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidToken",
        "ExpiredToken",
        "XMinioInvalidAccessKey",
    }
)
_DENIED_CODES = frozenset(
    {"AccessDenied", "AccessDeniedException", "Forbidden", "AllAccessDisabled", "MethodNotAllowed"}
)
_BUSY_CODES = frozenset(
    {
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ServiceUnavailable",
        "InternalError",
        "InternalFailure",
        "ServiceFailure",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "ConcurrentModification",
        "OperationAborted",
        "XMinioServerNotInitialized",
    }
)
_REGION_CODES = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})


def from_code(code: str, status: int, doing: str) -> RetentionError:
    """The domain's error for a store's error code; ``doing`` completes "while ..."."""
    if code in AUTHENTICATION_CODES:
        return Invalid(
            f"the store refuses the credentials ({code}) while {doing}; put the right key into the Secret",
            reason="AuthenticationFailed",
        )
    if code in _DENIED_CODES or status == 403:
        return Invalid(
            f"the credentials lack a privilege ({code}) while {doing}; allow it to the identity",
            reason="PrivilegesMissing",
        )
    if code in _REGION_CODES:
        return Invalid(
            f"the store lies in another region ({code}) while {doing}; correct s3Region of the class",
            reason="ClassInvalid",
            field="spec.existing.s3Region",
        )
    if code == "RequestTimeTooSkewed":
        return NotReady(f"the clocks of store and operator differ too much while {doing}", reason="Unavailable")
    if code in _BUSY_CODES or status >= 500 or status == 429:
        return Unavailable(
            f"the store cannot serve requests now ({code or status}) while {doing}", reason="Unavailable"
        )
    if code == "NoSuchBucket":
        return Unavailable(f"the bucket does not exist while {doing}", reason="Unavailable")
    return Invalid(f"the store refuses ({code or status}) while {doing}", reason="SettingNotKept")


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turns every failure of minio-py, urllib3 and requests into one of the domain's three; ``doing``: "observing bucket b".

    The cause is left out of the traceback on purpose: its text holds object keys, which may be personal data.
    """
    try:
        yield
    except S3Error as error:
        raise from_code(error.code or "", _status(error), doing) from None
    except MinioAdminException as error:
        raise from_code(admin_code(error), 0, doing) from None
    except (ServerError, InvalidResponseError):
        # Neither XML nor a known status: a proxy, a wrong port, or a store that is starting.
        raise Unavailable(
            f"the address does not answer as an object store while {doing}", reason="Unavailable"
        ) from None
    except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
        raise _unreachable(error, doing) from None
    except MinioException:
        raise Unavailable(f"the store's answer cannot be read while {doing}", reason="Unavailable") from None


def admin_code(error: MinioAdminException) -> str:
    """The error code of MinIO's admin API, empty if its answer has none."""
    try:
        body = json.loads(error._body)
    except (TypeError, ValueError):
        return ""
    return str(body.get("Code", "")) if isinstance(body, dict) else ""


def _status(error: S3Error) -> int:
    return int(error.response.status) if error.response is not None else 0


def _unreachable(error: BaseException, doing: str) -> RetentionError:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError | ssl.CertificateError) for cause in causes):
        return Invalid(
            f"the store's certificate is not from the expected authority, or for another name, while {doing}; "
            "correct the class's CA or endpoint",
            reason="CertificateInvalid",
            field="spec.existing.tls.caSecretRef",
        )
    timeouts = (urllib3.exceptions.TimeoutError, requests.Timeout, TimeoutError)
    if any(isinstance(cause, timeouts) for cause in causes):
        return Unavailable(f"the store does not answer in time while {doing}", reason="ServerUnreachable")
    return Unavailable(f"the store cannot be reached while {doing}", reason="ServerUnreachable")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it wraps: urllib3 keeps the cause in ``reason``, requests in ``args``."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args]
