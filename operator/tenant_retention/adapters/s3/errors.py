"""What an object store's failure means to us; the only place that knows its codes. No key is ever part of a message."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

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
_IMPOSSIBLE_KEY = re.compile(
    "Malformed|Invalid(Request|Argument|Object|Resource|URI|Key|Path)|TooLong|NoSuch(Key|Version)"
)
_REGION_CODES = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})


def from_code(code: str, status: int, task: str) -> RetentionError:
    """The domain's error for a store's error code; ``task`` completes "cannot ..."."""
    if code in AUTHENTICATION_CODES:
        return Invalid(
            f"cannot {task}: the store refuses the key ({code}); put the right one into the Secret",
            reason="AuthenticationFailed",
        )
    if code in _DENIED_CODES or status == 403:
        return Invalid(
            f"cannot {task}: the identity lacks a privilege ({code}); allow it to the identity",
            reason="PrivilegesMissing",
        )
    if code in _REGION_CODES:
        return Invalid(
            f"cannot {task}: the store lies in another region ({code}); correct s3Region of the class",
            reason="ClassInvalid",
            field="spec.existing.s3Region",
        )
    if code == "RequestTimeTooSkewed":
        return NotReady(
            f"cannot {task}: the clocks of store and operator differ too much; correct the wrong one",
            reason="Unavailable",
        )
    if code in _BUSY_CODES or status >= 500 or status == 429:
        return Unavailable(
            f"cannot {task}: the store cannot serve requests now ({code or status})", reason="Unavailable"
        )
    if code == "NoSuchBucket":
        return Unavailable(f"cannot {task}: the bucket does not exist", reason="Unavailable")
    return Invalid(
        f"cannot {task}: the store refuses ({code or status}); check what it supports", reason="SettingNotKept"
    )


def concerns_one_key(code: str) -> bool:
    """Whether a refused request of many keys may work with fewer of them: it was not the store, the identity or the region.

    Codes that only say that a request is not understood, such as MalformedXML, XMinioInvalidObjectName or KeyTooLongError.
    """
    return _IMPOSSIBLE_KEY.search(code) is not None


@contextmanager
def store_errors(task: str) -> Iterator[None]:
    """Turns every failure of minio-py, urllib3 and requests into one of the domain's three; ``task`` completes "cannot ...".

    The cause is left out of the traceback on purpose: its text holds object keys, which may be personal data.
    """
    try:
        yield
    except S3Error as error:
        raise from_code(error.code or "", _status(error), task) from None
    except MinioAdminException as error:
        raise from_code(admin_code(error), 0, task) from None
    except (ServerError, InvalidResponseError):
        # Neither XML nor a known status: a proxy, a wrong port, or a store that is starting.
        raise Unavailable(
            f"cannot {task}: the address does not answer as an object store", reason="Unavailable"
        ) from None
    except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
        raise _unreachable(error, task) from None
    except ValueError as error:
        # minio-py's word for an answer that is XML, but not the one it expects; our own wrong arguments are not hidden.
        if not str(error).startswith("XML element"):
            raise
        raise Unavailable(f"cannot {task}: the answer is not an object store's", reason="Unavailable") from None
    except (MinioException, ElementTree.ParseError):
        raise Unavailable(f"cannot {task}: the store's answer cannot be read", reason="Unavailable") from None


def admin_code(error: MinioAdminException) -> str:
    """The error code of MinIO's admin API, empty if its answer has none."""
    try:
        body = json.loads(error._body)
    except (TypeError, ValueError):
        return ""
    return str(body.get("Code", "")) if isinstance(body, dict) else ""


def _status(error: S3Error) -> int:
    return int(error.response.status) if error.response is not None else 0


def _unreachable(error: BaseException, task: str) -> RetentionError:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError | ssl.CertificateError) for cause in causes):
        return Invalid(
            f"cannot {task}: the store's certificate is not from the expected authority, or for another name; "
            "correct the class's CA or endpoint",
            reason="CertificateInvalid",
            field="spec.existing.tls.caSecretRef",
        )
    timeouts = (urllib3.exceptions.TimeoutError, requests.Timeout, TimeoutError)
    if any(isinstance(cause, timeouts) for cause in causes):
        return Unavailable(
            f"cannot {task}: the store does not answer in time: look at its load; it is tried again",
            reason="ServerUnreachable",
        )
    return Unavailable(
        f"cannot {task}: the store cannot be reached: check that it runs and can be reached from here; it is tried again",
        reason="ServerUnreachable",
    )


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
