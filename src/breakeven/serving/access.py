"""Who may do what, and how fast: keys, scopes, rates. Clocks here are monotonic, so a jump of the wall clock
frees nobody.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from breakeven.errors import Refused
from breakeven.serving.exchange import Exchange
from breakeven.serving.wire import HttpError

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger
    from breakeven.ledger.customers import Terms
    from breakeven.ledger.keys import Key

log = logging.getLogger("breakeven.serving")

LONGEST_KEY = 200
_WRONG_PER_MINUTE = 60
_KNOWN_BUCKETS = 100_000
_KNOWN_GUESSERS = 1000


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` tokens a second, at most `burst` saved."""

    rate: float
    burst: float
    tokens: float
    seen: float

    def take(self, moment: float) -> float:
        """0 when a token was there, else the seconds until one will be."""
        self.tokens = min(self.burst, self.tokens + max(0.0, moment - self.seen) * self.rate)
        self.seen = moment
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate if self.rate > 0 else 60.0


class Access:
    """Checks a request's key before anything of its body is read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._wrong: OrderedDict[str, Bucket] = OrderedDict()
        self._rates: OrderedDict[str, Bucket] = OrderedDict()
        self._told: dict[str, float] = {}

    async def key(self, exchange: Exchange, scope: str) -> Key:
        """The request's key, in force and allowed to do `scope`; else 401, 403 or, after many wrong ones, 429."""
        try:
            secret = _secret(exchange)
            key = self._ledger.keys.remembered(secret)
            if key is None:
                key = await asyncio.get_running_loop().run_in_executor(None, self._ledger.keys.check, secret)
        except Refused as error:
            self._count_wrong(guesser(exchange.client()), error)
            raise
        if scope not in key.scopes:
            raise Refused("key-scope-missing", scope=scope)
        exchange.key = key
        return key

    def _count_wrong(self, client: str, error: Refused) -> None:
        """Slows an address that guesses. A right key from the same address is never slowed."""
        moment = time.monotonic()
        bucket = _bucket(self._wrong, client, _WRONG_PER_MINUTE / 60, _WRONG_PER_MINUTE, moment)
        wait = bucket.take(moment)
        if wait:
            if moment - self._told.get(client, -math.inf) > 60:
                if len(self._told) >= _KNOWN_GUESSERS:
                    self._told.clear()
                self._told[client] = moment
                log.warning("many requests with wrong API keys from %s", client)
            raise HttpError(429, "key-attempts", retry_after=max(1, math.ceil(wait))) from error

    def rate(self, key: Key) -> dict[str, str]:
        """Takes a request's token; the x-ratelimit headers, or 429 with Retry-After. No terms: no limit, no headers."""
        terms = self._ledger.customers.terms(key.customer)
        if terms.requests_per_second is None:
            return {}
        moment = time.monotonic()
        bucket = _bucket(self._rates, key.customer, terms.requests_per_second, _burst(terms), moment)
        wait = bucket.take(moment)
        full = (bucket.burst - bucket.tokens) / bucket.rate if bucket.rate else 60.0
        headers = {
            "x-ratelimit-limit-requests": f"{bucket.burst:g}",
            "x-ratelimit-remaining-requests": str(int(bucket.tokens)),
            "x-ratelimit-reset-requests": f"{full:.3f}s",
        }
        if wait:
            raise HttpError(
                429,
                "rate-exceeded",
                limit=f"{terms.requests_per_second:g}",
                retry_after=max(1, math.ceil(wait)),
                headers=headers,
            )
        return headers


def _burst(terms: Terms) -> float:
    return float(terms.burst) if terms.burst else max(1.0, float(terms.requests_per_second or 1))


def _bucket(table: OrderedDict[str, Bucket], name: str, rate: float, burst: float, moment: float) -> Bucket:
    bucket = table.get(name)
    if bucket is None or (bucket.rate, bucket.burst) != (rate, burst):
        bucket = table[name] = Bucket(rate, burst, burst, moment)
    table.move_to_end(name)
    while len(table) > _KNOWN_BUCKETS:
        table.popitem(last=False)
    return bucket


def guesser(client: str) -> str:
    """Who guesses: an IPv4 address, or the 64 bits of an IPv6 one that are its network's; the rest is drawn freely."""
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address), 64), strict=False))


def _secret(exchange: Exchange) -> str:
    header = exchange.headers.get(b"authorization")
    query = exchange.scope.get("query_string", b"")
    if query and b"bek_" in query:  # whatever else there is: this one lies in the logs of everybody on the way
        raise Refused("key-in-query")
    if header is None:
        if query and (b"key=" in query.lower() or b"token=" in query.lower()):
            raise Refused("key-in-query")
        raise Refused("key-missing")
    if len(header) > LONGEST_KEY:
        raise Refused("key-malformed")
    scheme, _, secret = header.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Refused("key-missing")
    return secret.strip()
