"""API keys: `bek_<id>_<secret><checksum>`, shown once, kept as a salted hash, checked in microseconds.

The secret is 256 random bits, so one SHA-256 is enough: a slow password hash guards against guessing, and
these cannot be
guessed. The checksum tells a mistyped key from a wrong one without a look-up.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import InputError, Place, Refused
from breakeven.ledger import clock, schema
from breakeven.ledger.audit import write_audit
from breakeven.ledger.writer import Writer

PREFIX = "bek"
SCOPES = ("predict", "feedback", "usage", "admin")
DEFAULT_SCOPES = ("predict", "feedback", "usage")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DAY_SECONDS = 86_400.0
_LONGEST_OVERLAP = 366 * 86_400
_SECRET_LENGTH, _CHECK_LENGTH = 43, 6
_LENGTH = len(PREFIX) + 1 + 8 + 1 + _SECRET_LENGTH + _CHECK_LENGTH


@dataclass(frozen=True)
class Key:
    """A key as the server knows it. Times in microseconds, None for no limit."""

    id: str
    customer: str
    name: str
    scopes: frozenset[str]
    last4: str
    created: int
    not_before: int | None = None
    expires: int | None = None
    revoked: int | None = None
    replaces: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The row that `breakeven keys` prints; the secret is in nothing that is kept."""
        return {
            "id": self.id,
            "customer": self.customer,
            "name": self.name,
            "scopes": sorted(self.scopes),
            "ends_with": self.last4,
            "created": clock.text(self.created),
            "not_before": clock.text(self.not_before),
            "expires": clock.text(self.expires),
            "revoked": clock.text(self.revoked),
            "replaces": self.replaces,
        }


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_LENGTH)


def new_secret() -> tuple[str, str]:
    """(key id, the whole secret)."""
    key_id = _base62(secrets.randbits(48), 8)
    text = f"{PREFIX}_{key_id}_{_base62(secrets.randbits(256), _SECRET_LENGTH)}"
    return key_id, text + _checksum(text)


def well_formed(secret: str) -> bool:
    """Whether shape and checksum hold; says nothing about whether the key exists."""
    if len(secret) != _LENGTH or not secret.isascii() or not secret.startswith(PREFIX + "_"):
        return False
    return _checksum(secret[:-_CHECK_LENGTH]) == secret[-_CHECK_LENGTH:]


def _hash(secret: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()


def _new_row(**values: Any) -> tuple[dict[str, Any], str]:
    """(a row of the keys, its secret)."""
    key_id, secret = new_secret()
    salt = secrets.token_hex(16)
    row = {
        "id": key_id,
        "salt": salt,
        "hash": _hash(secret, salt),
        "last4": secret[-4:],
        "created": clock.now(),
        "not_before": None,
        "expires": None,
        "revoked": None,
        "replaces": None,
    }
    return {**row, **values}, secret


class Keys:
    """The door `ledger.keys`."""

    def __init__(self, writer: Writer, reading: sa.Engine, *, remember_seconds: float | None) -> None:
        """`remember_seconds`: how long a found key is trusted; None where this process sees every change itself."""
        self._writer = writer
        self._reading = reading
        self._remember = remember_seconds
        self._known: dict[bytes, tuple[Key, float]] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def create(
        self,
        customer: str,
        *,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        expires: Any = None,
        not_before: Any = None,
        name: str = "",
        actor: str = "local",
    ) -> tuple[str, Key]:
        """(secret, record). The secret is shown here and never again. `customer` is an id or a name."""
        wanted = tuple(scopes)
        unknown = sorted(set(wanted) - set(SCOPES))
        if unknown or not wanted:
            raise InputError("key-scope", at=Place(field="scopes"), found=unknown or "nothing", allowed=SCOPES)
        row, secret = _new_row(
            name=name,
            scopes=" ".join(sorted(wanted)),
            not_before=clock.moment(not_before, "not_before"),
            expires=clock.moment(expires, "expires"),
        )

        def change(connection: Connection, _private: Callable[[], Connection]) -> Key:
            row["customer"] = customer_id(connection, customer)
            connection.execute(sa.insert(schema.keys), row)
            detail = {"customer": row["customer"], "scopes": row["scopes"]}
            write_audit(connection, actor, "key.create", row["id"], detail)
            return _key(row)

        return secret, self._writer.wait(change)

    def rotate(self, key_id: str, *, overlap: float = DAY_SECONDS, actor: str = "local") -> tuple[str, Key, Key]:
        """(secret, the new key, the old one): the new one may what the old may, which ends after `overlap` seconds.

        An old key that ends sooner by itself does so; one that is no longer in force is not rotated.
        """
        if not 0 <= overlap <= _LONGEST_OVERLAP:
            raise InputError("key-overlap", at=Place(field="overlap"), found=overlap, limit=_LONGEST_OVERLAP // 86_400)

        def change(connection: Connection, _private: Callable[[], Connection]) -> tuple[str, Key, Key]:
            found = connection.execute(sa.select(schema.keys).where(schema.keys.c.id == key_id)).mappings().first()
            if found is None:
                raise InputError("key-not-found", at=Place(field="id"), id=key_id)
            _in_force(_key(found))
            ends = clock.now() + int(overlap * 1_000_000)
            old = {**found, "expires": ends if found["expires"] is None else min(ends, found["expires"])}
            row, secret = _new_row(
                name=found["name"], scopes=found["scopes"], customer=found["customer"], replaces=key_id
            )
            connection.execute(sa.insert(schema.keys), row)
            connection.execute(sa.update(schema.keys).where(schema.keys.c.id == key_id).values(expires=old["expires"]))
            detail = {"customer": row["customer"], "by": row["id"], "ends": clock.text(old["expires"])}
            write_audit(connection, actor, "key.rotate", key_id, detail)
            return secret, _key(row), _key(old)

        made: tuple[str, Key, Key] = self._writer.wait(change)
        self.forget()
        return made

    def revoke(self, key_id: str, *, actor: str = "local") -> Key:
        """Ends a key; the next request with it is refused. A second time changes nothing."""

        def change(connection: Connection, _private: Callable[[], Connection]) -> Key:
            found = connection.execute(sa.select(schema.keys).where(schema.keys.c.id == key_id)).mappings().first()
            if found is None:
                raise InputError("key-not-found", at=Place(field="id"), id=key_id)
            row = dict(found)
            if row["revoked"] is None:
                row["revoked"] = clock.now()
                connection.execute(
                    sa.update(schema.keys).where(schema.keys.c.id == key_id).values(revoked=row["revoked"])
                )
                write_audit(connection, actor, "key.revoke", key_id, {"customer": row["customer"]})
            return _key(row)

        key: Key = self._writer.wait(change)
        self.forget()
        return key

    def list(self, customer: str | None = None) -> list[Key]:
        """All keys, or one customer's (by id or name), oldest first."""
        query = sa.select(schema.keys).order_by(schema.keys.c.created, schema.keys.c.id)
        with self._reading.connect() as connection:
            if customer is not None:
                query = query.where(schema.keys.c.customer == customer_id(connection, customer))
            return [_key(row) for row in connection.execute(query).mappings()]

    def forget(self) -> None:
        """Drops what was remembered, so that the next check reads the tables."""
        with self._lock:
            self._generation += 1
            self._known.clear()

    def remembered(self, secret: str) -> Key | None:
        """The key if it was found before and still holds; no look-up. Raises as `check` does."""
        entry = self._known.get(hashlib.sha256(secret.encode()).digest())
        if entry is None or (self._remember is not None and time.monotonic() - entry[1] > self._remember):
            return None
        return _in_force(entry[0])

    def check(self, secret: str) -> Key:
        """The key behind a secret, or Refused: key-malformed, key-unknown, key-revoked, key-expired, key-not-yet."""
        key = self.remembered(secret) if secret.isascii() else None
        return key if key is not None else self._look_up(secret)

    def _look_up(self, secret: str) -> Key:
        if not well_formed(secret):
            raise Refused("key-malformed")
        key_id = secret.split("_")[1]
        generation = self._generation
        with self._reading.connect() as connection:
            row = connection.execute(sa.select(schema.keys).where(schema.keys.c.id == key_id)).mappings().first()
        # The same work for an unknown id, so that time does not tell which ids exist.
        stored = row["hash"] if row is not None else "0" * 64
        matches = hmac.compare_digest(_hash(secret, row["salt"] if row is not None else ""), stored)
        if row is None or not matches:
            raise Refused("key-unknown")
        key = _key(row)
        with self._lock:
            if len(self._known) > 100_000:
                self._known.clear()
            if generation == self._generation:  # else a key was revoked while we read
                self._known[hashlib.sha256(secret.encode()).digest()] = (key, time.monotonic())
        return _in_force(key)


def _in_force(key: Key) -> Key:
    if key.revoked is None and key.expires is None and key.not_before is None:
        return key
    moment = clock.now()
    if key.revoked is not None:
        raise Refused("key-revoked", id=key.id)
    if key.expires is not None and moment >= key.expires:
        raise Refused("key-expired", id=key.id, when=clock.text(key.expires))
    if key.not_before is not None and moment < key.not_before:
        raise Refused("key-not-yet", id=key.id, when=clock.text(key.not_before))
    return key


def _key(row: Any) -> Key:
    return Key(
        row["id"],
        row["customer"],
        row["name"],
        frozenset(row["scopes"].split()),
        row["last4"],
        row["created"],
        row["not_before"],
        row["expires"],
        row["revoked"],
        row["replaces"],
    )


def customer_id(connection: Connection, wanted: str) -> str:
    """The id behind a customer's id or name."""
    query = sa.select(schema.customers.c.id).where(
        sa.or_(schema.customers.c.id == wanted, schema.customers.c.name == wanted)
    )
    found: str | None = connection.execute(query).scalar()
    if found is None:
        raise InputError("customer-not-found", at=Place(field="customer"), customer=wanted)
    return found
