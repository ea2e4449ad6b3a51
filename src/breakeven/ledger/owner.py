"""One process owns a SQLite ledger; others ask it through a Unix socket that only the same user may open.

The lock is `flock` on `<ledger>.lock`, so that it ends with its process however that ends. The file says who
holds it and
where it listens.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from breakeven import errors
from breakeven.errors import BreakevenError, Busy, EnvironmentFault, Place

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger

Command = Callable[..., Any]
_LONGEST_PATH = 100  # a Unix socket's path may have 107 bytes
_LARGEST_MESSAGE = 64 << 20
_LONGEST_COMMAND = 600.0  # a chain of millions of events is walked in minutes; an owner that ends closes the socket


class Lock:
    """The right to write a SQLite ledger, held by an open file."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self.path = path
        self._stream = stream

    @staticmethod
    def file(ledger: Path) -> Path:
        """The lock file of a ledger."""
        return ledger.with_name(ledger.name + ".lock")

    @classmethod
    def take(cls, ledger: Path) -> Lock:
        """The lock, or Busy with the pid of its holder."""
        path = cls.file(ledger)
        try:
            stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
        except OSError as error:
            raise EnvironmentFault(
                "file-unwritable", at=Place(file=str(path)), reason=error.strerror or str(error)
            ) from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _holder(path).get("pid", "?")
            stream.close()
            raise Busy("ledger-owned", at=Place(file=str(ledger)), pid=pid) from error
        lock = cls(path, stream)
        lock.say(pid=os.getpid())
        return lock

    def say(self, **facts: Any) -> None:
        """Writes who holds the lock and where to reach them."""
        self._stream.seek(0)
        self._stream.truncate()
        json.dump(facts, self._stream)
        self._stream.flush()

    def release(self) -> None:
        """Lets the next process in."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.seek(0)
            self._stream.truncate()
        self._stream.close()


def _holder(lock: Path) -> dict[str, Any]:
    try:
        data = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


class Desk:
    """Answers other processes' commands on behalf of the owner, on threads of its own."""

    def __init__(self, ledger: Ledger, commands: Mapping[str, Command]) -> None:
        assert ledger.lock is not None
        self._ledger = ledger
        self._commands = commands
        self._path = _socket_path(ledger.lock.path)
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(self._path))
        finally:
            os.umask(before)
        self._socket.listen(16)
        ledger.lock.say(pid=os.getpid(), socket=str(self._path))
        threading.Thread(target=self._listen, name="ledger-desk", daemon=True).start()

    def close(self) -> None:
        """Stops answering."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="ledger-desk-call", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(30)
            if not _same_user(connection):
                return
            request = _receive(connection)
            _send(connection, self._answer(request))

    def _answer(self, request: Any) -> dict[str, Any]:
        try:
            command = self._commands[request["do"]]
            return {"result": command(self._ledger, **request["with"])}
        except BreakevenError as error:
            return {
                "error": {
                    "class": type(error).__name__,
                    "code": error.code,
                    "fields": error.fields,
                    "field": error.at.field,
                }
            }
        except (KeyError, TypeError) as error:
            return {
                "error": {
                    "class": "UsageError",
                    "code": "desk-command",
                    "fields": {"reason": str(error)},
                    "field": None,
                }
            }


def _socket_path(lock: Path) -> Path:
    path = lock.with_suffix(".sock")
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="breakeven-")) / "desk.sock"  # mkdtemp: 0700


def _same_user(connection: socket.socket) -> bool:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:  # macOS: the socket's own mode is the guard
        return True
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, 12))
    return uid in (os.getuid(), 0)


def _send(connection: socket.socket, message: Any) -> None:
    body = json.dumps(message, default=str).encode()
    connection.sendall(struct.pack("!I", len(body)) + body)


def _receive(connection: socket.socket) -> Any:
    (size,) = struct.unpack("!I", _exactly(connection, 4))
    if size > _LARGEST_MESSAGE:
        raise ValueError("message too large")
    return json.loads(_exactly(connection, size))


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(65536, count - len(parts)))
        if not part:
            raise ValueError("connection closed")
        parts += part
    return bytes(parts)


def ask(ledger: Path, name: str, arguments: Mapping[str, Any]) -> Any:
    """Runs a command in the process that owns the ledger and returns its result, or raises what it raised."""
    facts = _holder(Lock.file(ledger))
    busy = Busy("ledger-owned", at=Place(file=str(ledger)), pid=facts.get("pid", "?"))
    if "socket" not in facts:
        raise busy
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(30)
            connection.connect(facts["socket"])
            _send(connection, {"do": name, "with": dict(arguments)})
            connection.settimeout(_LONGEST_COMMAND)
            answer = _receive(connection)
    except (OSError, ValueError) as error:
        raise busy from error
    if "error" in answer:
        found = answer["error"]
        kind = getattr(errors, found["class"], BreakevenError)
        raise kind(found["code"], at=Place(field=found["field"]), **found["fields"])
    return answer["result"]
