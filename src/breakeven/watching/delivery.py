"""One attempt to deliver a message: a signed webhook that follows no redirect, or a program that inherits no secret."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from breakeven.data.web import Web
from breakeven.errors import BreakevenError, EnvironmentFault, Place, UsageError
from breakeven.watching.settings import Receiver, seconds

_PREFIX = "whsec_"  # Standard Webhooks: what follows is the key in base64
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
_SAID = 300
_LAST_WORDS_SECONDS = 0.5


def check(name: str, receiver: Receiver) -> None:
    """EnvironmentFault where a variable that a receiver names is not set, UsageError for a secret that is none."""
    for variable in (receiver.url_env, receiver.secret_env, *receiver.environment):
        if variable is not None and not os.environ.get(variable):
            raise EnvironmentFault("alerts-no-variable", receiver=name, variable=variable)
    if receiver.secret_env is not None:
        _key(receiver.secret_env)


def deliver(receiver: Receiver, message: str, body: Mapping[str, Any], *, folder: Path) -> None:
    """Sends a message once; EnvironmentFault or DataError with the reason where it did not arrive. `message`: its id,
    the same at every attempt. `folder`: where a command runs.
    """
    content = json.dumps(body, ensure_ascii=False).encode()
    if receiver.command is not None:
        _run(receiver, receiver.command, content, folder)
    else:
        Hook(receiver).post(message, content)


def signature(secret: bytes, message: str, timestamp: int, content: bytes) -> str:
    """`v1,<base64>` of HMAC-SHA256 over `id.timestamp.body`, as Standard Webhooks signs."""
    signed = f"{message}.{timestamp}.".encode() + content
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _key(variable: str) -> bytes:
    text = os.environ.get(variable, "")
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("alerts-secret", variable=variable) from None


class Hook(Web):
    """A webhook: the address checks of a fetch (private addresses refused, the checked one called), one POST."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(timeout_seconds=seconds(receiver.timeout), allow_private=receiver.allow_private)
        self._url = receiver.url or os.environ.get(receiver.url_env or "", "")
        self._secret = None if receiver.secret_env is None else _key(receiver.secret_env)

    def post(self, message: str, content: bytes) -> None:
        """EnvironmentFault `alerts-answered` for any answer but a 2xx, a redirect among them: it is not followed."""
        import httpx

        parts = urlsplit(self._url)
        at = Place(file=f"{parts.scheme}://{parts.hostname}")  # no more of it: a path may hold a token
        until = Until(self.timeout_seconds)
        try:
            with until:
                status = self._posted(message, content, until.trace)
        except BreakevenError as error:
            error.at = at
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            if until.over or isinstance(error, httpx.TimeoutException):
                raise EnvironmentFault("alerts-slow", at=at, limit=self.timeout_seconds) from None
            raise EnvironmentFault("web-unreachable", at=at, reason=str(error) or type(error).__name__) from None
        if not 200 <= status < 300:
            raise EnvironmentFault("alerts-answered", at=at, status=status)

    def _posted(self, message: str, content: bytes, trace: Callable[[str, Any], None]) -> int:
        import httpx

        target, extensions, headers = self._pinned(self._url)
        extensions = {**extensions, "trace": trace}
        timestamp, certificates = int(time.time()), os.environ.get("SSL_CERT_FILE")
        verify: Any = ssl.create_default_context(cafile=certificates) if certificates else True
        headers |= {"content-type": "application/json", "webhook-id": message, "webhook-timestamp": str(timestamp)}
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, message, timestamp, content)
        with (
            httpx.Client(
                transport=self.transport,
                verify=verify,
                follow_redirects=False,
                timeout=self.timeout_seconds,
                trust_env=self._proxied(self._url),
            ) as client,
            client.stream("POST", target, content=content, headers=headers, extensions=extensions) as answer,
        ):
            status: int = answer.status_code  # the body is not read: nothing in it changes what was delivered
            return status


class Until:
    """Hangs up a request that is not over after so many seconds: httpx limits each read, and a receiver that sends a
    byte now and then would hold it for ever.
    """

    def __init__(self, limit: float) -> None:
        self.over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(limit, self._hang_up)
        self._timer.daemon = True

    def __enter__(self) -> Until:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Hears of the connection; an extension of httpx's requests."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def _hang_up(self) -> None:
        self.over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not that of TLS, which would wait for words


def _run(receiver: Receiver, command: list[str], content: bytes, folder: Path) -> None:
    """The message on standard input; an exit code of 0 says that it was delivered."""
    names = (*_INHERITED, *receiver.environment)
    environment = {name: os.environ[name] for name in names if name in os.environ}
    at = Place(file=command[0])
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=pipe, stdout=nothing, stderr=pipe, start_new_session=True
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFault("alerts-command", at=at, reason=reason) from None
    # Its own end counts, not that of its pipes: what it left running may hold those for ever.
    _thread(_write, process.stdin, content)
    said: list[bytes] = []
    listening = _thread(_listen, process.stderr, said)
    try:
        process.wait(seconds(receiver.timeout))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # it, and what it started
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise EnvironmentFault("alerts-slow", at=at, limit=seconds(receiver.timeout)) from None
        raise
    if process.returncode != 0:
        listening.join(_LAST_WORDS_SECONDS)
        last = b"".join(said).decode("utf-8", "replace").strip()[-_SAID:]
        raise EnvironmentFault("alerts-exit", at=at, status=process.returncode, said=last or "-")


def _thread(work: Callable[..., None], *given: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=given, daemon=True)
    thread.start()
    return thread


def _write(stream: IO[bytes], content: bytes) -> None:
    with contextlib.suppress(OSError), stream:  # a command that does not read may well be satisfied
        stream.write(content)


def _listen(stream: IO[bytes], said: list[bytes]) -> None:
    """The last words of a command, however many it says."""
    with contextlib.suppress(OSError), stream:
        while part := os.read(stream.fileno(), 1 << 16):
            said[:] = [b"".join((*said, part))[-4 * _SAID :]]
