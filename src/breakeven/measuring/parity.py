"""The parity receipt: test rows over HTTP give the answers that were evaluated.

Three answers to each row are compared: the evaluated raw output, the raw output of the package loaded here, and what
the real server says. Raw outputs agree by the task's `agree`; served JSON agrees in every text, and in every number
within the tolerance.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import now
from breakeven.errors import EnvironmentFault, InputError, IntegrityError, Place
from breakeven.packaging.hardware import hardware
from breakeven.packaging.opened import Package, open_package
from breakeven.packaging.package import identity

if TYPE_CHECKING:
    from breakeven.task import Cases, Task

TOGETHER = 8
SECONDS = 120.0
Post = Callable[[list[Any]], list[Any]]


@dataclass
class Count:
    """Rows compared so far."""

    rows: int = 0
    agree: int = 0
    refused: int = 0
    worst: float = 0.0
    differing: list[tuple[str, str]] = field(default_factory=list)


def receipt(package: Path, *, task: Task, cases: Cases, raw: Sequence[Any], rule: Mapping[str, Any] | None, rows: int,
            tolerance: float | None = None, server: Callable[..., Any] | None = None) -> dict[str, Any]:  # fmt: skip
    """Starts the server on a package folder, sends up to `rows` test rows, and returns the content of `parity.json`.

    `raw`: the evaluated, calibrated outputs, in the order of `cases`. `tolerance` None: the package's own. Raises
    IntegrityError where one row differs. `server`: stands in for `serving.launch.ServerProcess`.
    """
    if server is None:
        from breakeven.serving.launch import ServerProcess

        server = ServerProcess
    some = random.Random(0).sample(range(len(cases)), min(rows, len(cases)))
    with open_package(package, task=task) as opened:
        allowed = float(opened.info["tolerance"]) if tolerance is None else tolerance
        with server(package, rule=None if rule is None else dict(rule), unsigned=True) as running:
            counted = _compare(
                opened, cases, raw, some, rule=rule, tolerance=allowed, post=_poster(running.url, running.key)
            )
        runtime, threads = opened.runtime, opened.threads
    if counted.agree < counted.rows or not counted.rows:
        first, what = counted.differing[0] if counted.differing else ("-", "every row was refused")
        raise IntegrityError("parity-differs", at=Place(file=str(package)), rows=counted.rows, agree=counted.agree,
                             first=first, what=what)  # fmt: skip
    return {"package": identity(package), "rows": counted.rows, "agree": counted.agree, "refused": counted.refused,
            "tolerance": allowed, "worst_difference": counted.worst, "runtime": runtime, "threads": threads,
            "rule": None if rule is None else dict(rule), "hardware": hardware()["key"], "created": now()}  # fmt: skip


def _compare(package: Package, cases: Cases, raw: Sequence[Any], some: Sequence[int], *, rule: Mapping[str, Any] | None,
             tolerance: float, post: Post) -> Count:  # fmt: skip
    """Half of the rows go one by one, half together, as requests come."""
    counted, kept = Count(), []
    for index in some:
        try:
            kept.append((index, package.parse(package.task.payload(cases.inputs[index]))))
        except InputError:
            # A row that no request could carry was evaluated and cannot be served: it is counted, not compared.
            counted.refused += 1
    half = len(kept) // 2
    groups = [[item] for item in kept[:half]]
    groups += [kept[start : start + TOGETHER] for start in range(half, len(kept), TOGETHER)]
    for group in groups:
        payloads = [package.task.payload(item) for _, item in group]
        for (index, item), payload, served in zip(group, payloads, post(payloads), strict=True):
            here = package.raw([item])
            expected = package.render(here, package.answer(here, rule))[0]
            differs = difference(expected, served, tolerance)
            if isinstance(differs, str) and len(group) > 1:
                # On the edge between two answers company may tip the scale within the tolerance: alone it must not.
                differs = difference(expected, post([payload])[0], tolerance)
            what = differs if isinstance(differs, str) else None
            if what is None and not package.task.agree(here[0], raw[index], tolerance):
                what = "another output than was evaluated"
            _count(counted, cases.ids[index], what, 0.0 if isinstance(differs, str) else differs)
    return counted


def _count(counted: Count, row: str, what: str | None, worst: float) -> None:
    counted.rows += 1
    counted.worst = max(counted.worst, worst)
    if what is None:
        counted.agree += 1
    else:
        counted.differing.append((row, what))


def difference(one: Any, other: Any, tolerance: float) -> float | str:
    """The largest difference between the numbers of two JSON values, or in words what differs beyond `tolerance`."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if set(one) != set(other):
            return f"fields {sorted(set(one) ^ set(other))}"
        return _worst(((one[name], other[name]) for name in one), tolerance)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return _worst(zip(one, other, strict=True), tolerance) if len(one) == len(other) else "lists of other lengths"
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other))
    if numbers:
        gap = abs(float(one) - float(other))
        return gap if gap <= tolerance else f"{one} is served as {other}"
    return 0.0 if one == other else f"{str(one)[:40]} is served as {str(other)[:40]}"


def _worst(pairs: Any, tolerance: float) -> float | str:
    worst = 0.0
    for one, other in pairs:
        found = difference(one, other, tolerance)
        if isinstance(found, str):
            return found
        worst = max(worst, found)
    return worst


def _poster(url: str, key: str) -> Post:
    """A function that posts payloads to `/v1/predict` and returns the outputs."""
    import httpx

    # trust_env off: a proxy of the environment must never see test rows on their way to this very machine.
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS, trust_env=False)

    def post(payloads: list[Any]) -> list[Any]:
        try:
            answer = client.post("/v1/predict", json={"inputs": payloads})
        except httpx.HTTPError as error:
            raise EnvironmentFault("parity-http", status="no answer", reason=type(error).__name__) from error
        if answer.status_code != httpx.codes.OK:
            raise EnvironmentFault("parity-http", status=answer.status_code, reason=answer.text[:300])
        return list(answer.json()["outputs"])

    return post
