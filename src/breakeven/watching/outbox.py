"""Messages that wait to be delivered: in order for every receiver, tried again with growing pauses, kept on the disk.

A message leaves the box after it arrived. A kill in between delivers it once more, under the same id.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from breakeven.errors import BreakevenError

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
MOST_WAITING = 1000  # of one receiver; the oldest goes first then

Send = Callable[[str, str, Mapping[str, Any]], None]  # receiver, id, body; raises BreakevenError


@dataclass
class Letter:
    """One message to one receiver. `due`: when it is tried next, in seconds since 1970."""

    id: str
    receiver: str
    body: dict[str, Any]
    written: float
    due: float
    attempts: int = 0
    error: str = ""


@dataclass
class Lost:
    """A message that is given up, and why."""

    letter: Letter


@dataclass
class Outbox:
    """What waits. All methods run on one thread; each attempt has a thread of its own, so nobody waits for a slow
    receiver.
    """

    send: Send
    give_up: float
    letters: list[Letter] = field(default_factory=list)
    heard: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _running: set[str] = field(default_factory=set)

    def put(self, letter: Letter) -> None:
        """Adds a message behind all of its receiver's."""
        waiting = [one for one in self.letters if one.receiver == letter.receiver]
        if len(waiting) >= MOST_WAITING:
            self.letters.remove(waiting[1] if letter.receiver in self._running else waiting[0])
        self.letters.append(letter)

    def begin(self, now: float) -> None:
        """Starts an attempt for every receiver whose first message is due."""
        for receiver, letter in self._first().items():
            if letter.due <= now:
                self._running.add(receiver)
                threading.Thread(target=self._try, args=(letter,), name=f"alert-{receiver}", daemon=True).start()

    def _first(self) -> dict[str, Letter]:
        """The message that is next for every receiver that none is on its way to."""
        first: dict[str, Letter] = {}
        for letter in self.letters:
            if letter.receiver not in self._running:
                first.setdefault(letter.receiver, letter)
        return first

    def _try(self, letter: Letter) -> None:
        try:
            self.send(letter.receiver, letter.id, letter.body)
        except BreakevenError as error:
            self.heard.put((letter, str(error)))
        except Exception as error:  # whatever it is, the message did not arrive and the others must go on
            self.heard.put((letter, f"{type(error).__name__}: {error}"[:300]))
        else:
            self.heard.put((letter, None))

    def wait(self, timeout: float) -> tuple[Letter, str | None] | None:
        """The next attempt that ended within `timeout` seconds, with why it failed; None: none, or a wake-up call."""
        try:
            ended: tuple[Letter, str | None] | None = self.heard.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None
        return ended

    def wake(self) -> None:
        """Ends a `wait`; may be called from a signal's handler."""
        self.heard.put(None)

    def settle(self, letter: Letter, error: str | None, now: float) -> Lost | None:
        """Takes what came of an attempt: away with what arrived, a longer pause for what did not."""
        self._running.discard(letter.receiver)
        letter.attempts += 1
        if error is not None:
            letter.error = error
            letter.due = now + min(FIRST_PAUSE * 2.0 ** min(letter.attempts - 1, 20), LONGEST_PAUSE)
            if now - letter.written < self.give_up:
                return None
        if letter in self.letters:
            self.letters.remove(letter)
        return None if error is None else Lost(letter)

    @property
    def busy(self) -> bool:
        """Whether an attempt runs."""
        return bool(self._running)

    def next_due(self) -> float | None:
        """When the next attempt is due; None where nothing waits."""
        return min((letter.due for letter in self._first().values()), default=None)

    def as_json(self) -> list[dict[str, Any]]:
        """What a later process goes on from."""
        return [asdict(letter) for letter in self.letters]

    def load(self, data: list[dict[str, Any]], receivers: Mapping[str, Any], now: float) -> None:
        """Takes what a former process left; what is for receivers that are no longer declared is dropped."""
        self.letters = [Letter(**item) for item in data if item["receiver"] in receivers]
        for letter in self.letters:
            letter.due, letter.written = min(letter.due, now), min(letter.written, now)
