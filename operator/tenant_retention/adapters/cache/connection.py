"""A connection to a cache server, over verified TLS only, and what its failures mean to us. No key is ever part of a message."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from tenant_retention.domain.errors import Invalid, RetentionError, Unavailable
from tenant_retention.domain.ports.caches import CacheServer

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0


class CacheConnection:
    """One login at one server; connects with the first command, and anew after a lost connection."""

    def __init__(self, server: CacheServer) -> None:
        try:
            self._client: Any = redis.Redis(
                host=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                ssl=True,
                ssl_cert_reqs="required",
                ssl_check_hostname=True,
                ssl_ca_data=server.ca,
                ssl_min_version=ssl.TLSVersion.TLSv1_2,
                socket_connect_timeout=_CONNECT_SECONDS,
                socket_timeout=_ANSWER_SECONDS,
                # Tried again by the run itself, which knows when to stop.
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except (ValueError, ssl.SSLError) as error:
            raise _certificate("connect") from error
        self._where = f"{server.host}:{server.port}"

    def command(self, task: str, *words: str | bytes | int) -> Any:
        """One command's answer. ``task`` completes "cannot ..." in the error that it may raise."""
        with self._errors(task):
            return self._client.execute_command(*words)

    def commands(self, task: str, lines: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Many commands in one round trip; the first error is raised when all were answered."""
        with self._errors(task), self._client.pipeline(transaction=False) as pipeline:
            for words in lines:
                pipeline.execute_command(*words)
            answers: list[Any] = pipeline.execute(raise_on_error=True)
            return answers

    def close(self) -> None:
        """Hangs up."""
        self._client.close()

    @contextmanager
    def _errors(self, task: str) -> Iterator[None]:
        # The causes are left out of the traceback on purpose: their text may hold keys.
        try:
            yield
        except RedisError as error:
            raise _translated(error, f"{task} at {self._where}") from None
        except OSError as error:
            task = f"{task} at {self._where}"
            raise (_certificate(task) if _distrusted(error) else _unreachable(task)) from None


def _translated(error: RedisError, task: str) -> RetentionError:
    match error:
        case BusyLoadingError() | ReadOnlyError() | OutOfMemoryError():
            return Unavailable(f"cannot {task}: the server cannot serve now: {_word(error)}", reason="Unavailable")
        case AuthenticationError():
            return Invalid(
                f"cannot {task}: the server refuses user or password; put the right ones into the Secret",
                reason="AuthenticationFailed",
            )
        case NoPermissionError():
            return Invalid(f"cannot {task}: the user lacks the privilege; allow it", reason="PrivilegesMissing")
        case redis.ConnectionError() | redis.TimeoutError():
            distrusted = any(map(_distrusted, _causes(error))) or "certificate" in str(error).lower()
            return _certificate(task) if distrusted else _unreachable(task)
        case ResponseError():
            return Invalid(f"cannot {task}: the server refuses: {_word(error)}", reason="SettingNotKept")
    return Unavailable(f"cannot {task}: the answer cannot be understood", reason="Unavailable")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _distrusted(error: BaseException) -> bool:
    """Whether TLS itself says no: a connection that broke off while it was made is a server that is away, and tried again."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _word(error: BaseException) -> str:
    """The error's code, without its text, which may quote arguments."""
    word = str(error).split(" ", 1)[0]
    return word if word.isalpha() and word.isupper() else type(error).__name__


def _certificate(task: str) -> Invalid:
    return Invalid(
        f"cannot {task}: the server's certificate is not from the expected authority, or for another name; "
        "correct the class's CA or host",
        reason="CertificateInvalid",
        field="spec.existing.tls.caSecretRef",
    )


def _unreachable(task: str) -> Unavailable:
    return Unavailable(
        f"cannot {task}: the server cannot be reached: check that it runs and can be reached from here; it is tried again",
        reason="ServerUnreachable",
    )
