"""One connection to one S3 endpoint as one identity: bounded pool, bounded time, TLS always verified."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3
from minio import Minio
from requests.adapters import HTTPAdapter
from requests_aws4auth import AWS4Auth
from urllib3.util import Retry, Timeout

from tenant_retention.adapters.s3.errors import store_errors
from tenant_retention.domain.bucket_identities import AccessKey
from tenant_retention.domain.buckets import S3Endpoint
from tenant_retention.domain.errors import Invalid


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try again. The longest silence is about
    ``(retries + 1) * read + backoff * 2 ** retries``."""

    connect: float = 5.0
    read: float = 30.0
    retries: int = 3
    backoff: float = 0.3


@dataclass(frozen=True)
class Answer:
    """A store's answer to a raw request; ``date``: its header Date."""

    status: int
    body: str
    date: str | None = None


class S3Connection:
    """minio-py's client and a signing session, as one identity. Close it, or use it in a ``with`` block.

    ``threads``: how many requests may run at once. ``key`` None: requests are not signed (nobody).
    """

    def __init__(
        self, endpoint: S3Endpoint, key: AccessKey | None, *, threads: int = 8, patience: Patience | None = None
    ) -> None:
        address = urlsplit(endpoint.url)
        if address.scheme != "https" or not address.netloc or address.path.strip("/"):
            raise Invalid(
                f"endpoint {endpoint.url!r} is not an https address without a path",
                reason="ClassInvalid",
                field="spec.existing.endpoint",
            )
        self.endpoint = endpoint
        self.key = key
        self.threads = threads
        self._patience = patience or Patience()
        context = _tls_context(endpoint.ca)
        self._pool = self._make_pool(context)
        self.client = Minio(
            address.netloc,
            access_key=key.key_id if key else None,
            secret_key=key.secret if key else None,
            region=endpoint.region,
            http_client=self._pool,
        )
        self._session = requests.Session()
        # Neither proxies nor .netrc of the environment: the same path as the client's, and no stray credentials.
        self._session.trust_env = False
        self._session.mount("https://", _ContextAdapter(context, self._retry()))

    def new_pool(self) -> urllib3.PoolManager:
        """A further HTTP pool like this connection's, for a client of another API at the same endpoint."""
        return self._make_pool(_tls_context(self.endpoint.ca))

    def request(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: str = "",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        task: str,
    ) -> Answer:
        """One raw S3 request, path style; answers of any status are returned. ``query``: encoded already."""
        url = f"{self.endpoint.url.rstrip('/')}/{quote(bucket)}/{quote(key)}"
        target = f"{url}?{query}" if query else url
        return self.signed("s3", self.endpoint.region, method, target, data=body, headers=headers, task=task)

    def signed(self, service: str, region: str, method: str, url: str, *, task: str, **request: Any) -> Answer:
        """One request signed for ``service``. Raises Unavailable or Invalid if no answer comes at all."""
        auth = AWS4Auth(self.key.key_id, self.key.secret, region, service) if self.key else None
        with store_errors(task):
            response = self._session.request(
                method,
                url,
                auth=auth,
                timeout=(self._patience.connect, self._patience.read),
                allow_redirects=False,
                **request,
            )
        # Always UTF-8: guessing an encoding costs more than the request.
        return Answer(response.status_code, response.content.decode("utf-8", "replace"), response.headers.get("Date"))

    def close(self) -> None:
        """Ends all connections."""
        self._pool.clear()
        self._session.close()

    def __enter__(self) -> S3Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_pool(self, context: ssl.SSLContext) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            ssl_context=context,
            maxsize=self.threads,
            block=True,
            timeout=Timeout(connect=self._patience.connect, read=self._patience.read),
            retries=self._retry(),
        )

    def _retry(self) -> Retry:
        # allowed_methods None: every request we make may be repeated, POST too. other=0: a wrong certificate stays wrong.
        return Retry(
            total=self._patience.retries,
            other=0,
            redirect=0,
            backoff_factor=self._patience.backoff,
            status_forcelist=(500, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )


class _ContextAdapter(HTTPAdapter):
    """Verifies with exactly the given TLS context, where requests would add its own list of authorities."""

    def __init__(self, context: ssl.SSLContext, retries: Retry) -> None:
        self._context = context
        super().__init__(max_retries=retries)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """The pool of the host, with our context alone."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context requires and checks certificate and host name."""


def _tls_context(ca: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca)
    except ssl.SSLError as error:
        raise Invalid(
            "the CA of the class is not a PEM certificate",
            reason="CertificateInvalid",
            field="spec.existing.tls.caSecretRef",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
