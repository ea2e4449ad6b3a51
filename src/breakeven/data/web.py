"""HTTP(S) within limits: size, time, and addresses. A name is resolved once, checked, and that very address is called.

Where the environment sets a proxy, the proxy resolves names; literal private addresses are refused all the same.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from breakeven.data.limits import MB
from breakeven.errors import DataError, EnvironmentFault, IntegrityError, Place

if TYPE_CHECKING:
    import httpx

REDIRECTS = 5
ATTEMPTS = 3
Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system gives them."""
    return list(dict.fromkeys(str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


@dataclass
class Web:
    """What a fetch may do. `transport` and `resolve` are the seams for tests."""

    max_mb: float = 1_000.0
    timeout_seconds: float = 120.0
    allow_private: bool = False
    certificates: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    transport: httpx.BaseTransport | None = None
    resolve: Resolve = resolve
    wait_seconds: float = 0.5

    def get(self, url: str) -> tuple[bytes, dict[str, str]]:
        """(body, headers in lower case). Redirects are followed and checked one by one; failures are tried again."""
        deadline = time.monotonic() + self.timeout_seconds
        for _ in range(REDIRECTS + 1):
            status, headers, body = self._retried(url, deadline)
            if status not in (301, 302, 303, 307, 308) or "location" not in headers:
                break
            target = urljoin(url, headers["location"])
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise DataError("web-downgrade", at=Place(file=shown(url)), target=shown(target))
            url = target
        else:
            raise DataError("web-redirects", at=Place(file=shown(url)), limit=REDIRECTS)
        if status != 200:
            raise EnvironmentFault("web-status", at=Place(file=shown(url)), status=status)
        return body, headers

    def _retried(self, url: str, deadline: float) -> tuple[int, dict[str, str], bytes]:
        import httpx

        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, headers, body = self._once(url, deadline)
                if status < 500 or attempt == ATTEMPTS:
                    return status, headers, body
            except httpx.TimeoutException as error:
                if attempt == ATTEMPTS or time.monotonic() > deadline:
                    raise EnvironmentFault("web-slow", at=Place(file=shown(url)), limit=self.timeout_seconds) from error
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                if (reason := _untrusted(error)) is not None:
                    raise IntegrityError("web-certificate", at=Place(file=shown(url)), reason=reason) from error
                if attempt == ATTEMPTS:
                    raise EnvironmentFault("web-unreachable", at=Place(file=shown(url)), reason=_said(error)) from error
            time.sleep(self.wait_seconds * attempt)
        raise AssertionError("unreachable")

    def _once(self, url: str, deadline: float) -> tuple[int, dict[str, str], bytes]:
        import httpx

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DataError("web-scheme", at=Place(file=shown(url)))
        target, extensions, headers = self._pinned(url)
        left = deadline - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the time limit is used up")
        with (
            httpx.Client(
                transport=self.transport,
                verify=self._trusted(),
                follow_redirects=False,
                timeout=min(left, 30.0),
                trust_env=self._proxied(url),
            ) as client,
            client.stream("GET", target, headers=headers, extensions=extensions) as answer,
        ):
            body = self._body(answer, url, deadline)
            return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body

    def _trusted(self) -> ssl.SSLContext | bool:
        """Whose certificates are taken: those configured, those of SSL_CERT_FILE, else the public ones."""
        file = self.certificates or os.environ.get("SSL_CERT_FILE")
        if not file:
            return True
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise EnvironmentFault("file-unreadable", at=Place(file=file), reason=reason) from error

    def _body(self, answer: httpx.Response, url: str, deadline: float) -> bytes:
        import httpx

        limit, parts, size = self.max_mb * MB, [], 0
        if int(answer.headers.get("content-length", "0") or 0) > limit:
            raise DataError("web-too-large", at=Place(file=shown(url)), limit=self.max_mb)
        for part in answer.iter_bytes():
            size += len(part)
            if size > limit:
                raise DataError("web-too-large", at=Place(file=shown(url)), limit=self.max_mb)
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the time limit is used up")
            parts.append(part)
        return b"".join(parts)

    def _pinned(self, url: str) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The address to call for `url`: checked and literal, the host kept in the header and in TLS."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        headers = {"user-agent": "breakeven", "accept-encoding": "identity", **self.headers}
        if self._proxied(url):
            if not self.allow_private and _is_literal(host):
                check_address(host, url)
            return url, {}, headers
        try:
            addresses = [host] if _is_literal(host) else self.resolve(host, port)
        except OSError as error:
            raise EnvironmentFault("web-unknown-host", at=Place(file=shown(url)), host=host) from error
        if not self.allow_private:
            for address in addresses:
                check_address(address, url)
        literal = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        target = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
        return target, {"sni_hostname": host}, {**headers, "host": parts.netloc.split("@")[-1], **_basic(url)}

    def _proxied(self, url: str) -> bool:
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(url)
        proxies = getproxies()
        known = parts.scheme in proxies or "all" in proxies
        return self.transport is None and known and not proxy_bypass(parts.hostname or "")


def check_address(address: str, url: str) -> None:
    """Refuses an address that is not of the public internet."""
    found = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    if not (mapped or found).is_global or found.is_multicast:
        raise DataError("web-private", at=Place(file=shown(url)), address=address)


def shown(url: str) -> str:
    """The address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.split("@")[-1], query="", fragment="").geturl()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _basic(url: str) -> dict[str, str]:
    import base64
    from urllib.parse import unquote

    parts = urlsplit(url)
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _untrusted(error: BaseException | None) -> str | None:
    """Why the certificate of the other side is not believed; None where that is not what failed."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return None if error is None else str(error.verify_message).rstrip(".")


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
