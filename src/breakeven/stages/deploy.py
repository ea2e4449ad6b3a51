"""deploy: the chosen package becomes a signed release, and the choice a signed decision; or both are withheld.

Built in scratch, answered over HTTP by the real server, compared with what was evaluated, signed, renamed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from breakeven.artifacts import Store, now, read_json, write_json
from breakeven.errors import Finding, IntegrityError, Place, UsageError, message
from breakeven.packaging import decisions, release, routing, signing
from breakeven.packaging.card import model_card
from breakeven.packaging.opened import read_info
from breakeven.pipeline import Context, Setup, Stage, Step
from breakeven.stages import train

VERSION = 1
RELEASES = "releases"
VERDICT = "evaluate/verdict"
Receipt = Callable[..., dict[str, Any]]


def _share(given: Any) -> Any:
    """A share written in percent as a number; what is neither is left to the field's own check."""
    if isinstance(given, str) and given.strip().endswith("%"):
        try:
            return float(given.strip()[:-1]) / 100
        except ValueError:
            return given
    return given


Share = Annotated[
    float,
    Field(gt=0, lt=1),
    BeforeValidator(_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
            ]
        }
    ),
]


class Settings(BaseModel):
    """The deploy section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sign_with: str = Field(
        "keys/release.key", min_length=1, description="Private key (ECDSA P-256); public key beside it"
    )
    keep: int = Field(5, ge=1, le=1000, description="Releases kept; the current one always is")
    canary: Share | None = Field(
        None,
        description="Share of the customers (0.1 or 10%) that a new release starts with, beside the current one; "
        "empty: everybody at once",
    )
    parity_rows: int = Field(64, ge=1, le=100_000, description="Test rows sent over HTTP before anything is published")
    tolerance: float | None = Field(
        None,
        gt=0,
        le=1,
        description="How far a served number may be from the evaluated one; default: evaluate.tolerance",
    )


def key_path(setup: Setup) -> Path:
    """The signing key: relative paths start at the project."""
    return setup.root / Path(setup.config.deploy.sign_with).expanduser()


def ensure_key(setup: Setup) -> Path | None:
    """Makes the signing key of a project that has released nothing yet, and returns its public half; None: not needed.

    Once something was released, a missing key is a loss that stops the stage: making another in silence would leave
    whoever trusts the old one with releases that do not verify.
    """
    key = key_path(setup)
    if key.exists() or (setup.root / RELEASES).exists():
        return None
    return signing.make_key(key)


def steps(setup: Setup) -> list[Step]:
    """One step."""
    settings: Settings = setup.config.deploy
    names = [candidate.name for candidate in setup.config.train.candidates]
    public = signing.public_path(key_path(setup))
    read = {
        "product.name": setup.config.product.name,
        "product.description": setup.config.product.description,
        "collect.fields": train.fields_of(setup),
        **{f"deploy.{name}": value for name, value in settings.model_dump(mode="json").items()},
    }
    needs = (VERDICT, *(f"evaluate/{name}" for name in names), *(f"train/{name}" for name in names), "process")
    files = (public,) if public.is_file() else ()
    return [Step("deploy", VERSION, run, settings=read, files=files, needs=needs, volatile=_lost(setup.root))]


def _lost(root: Path) -> bool:
    """Whether the release that the last run decided on is no longer there."""
    path = root / "artifacts" / "deploy" / decisions.DECISION
    if not path.is_file():
        return False
    try:
        record = read_json(path)
    except IntegrityError:
        return False  # the plan finds it broken
    names = [record.get("release"), (record.get("canary") or {}).get("release")]
    return any(name and not (root / RELEASES / name / release.RELEASE).is_file() for name in names)


def run(context: Context, *, receipt: Receipt | None = None) -> None:
    """Publishes the verdict's choice, or records that nothing is released and why."""
    key = key_path(context.setup)
    key_name = signing.check_key(key)
    if signing.exposed(key):
        context.find(Finding("key-exposed", "warning", "deploy", fields={"key": str(key)}))
    context.store.verify(VERDICT)
    verdict = read_json(context.need(VERDICT) / "verdict.json")
    releases = context.setup.root / RELEASES
    with decisions.publishing(releases) as scratch:
        name, package = None, None
        if verdict.get("chosen"):
            name, package = release_chosen(context, verdict, scratch, key=key, key_name=key_name, receipt=receipt)
        record = _decision(context, verdict, name, package)
        now_served = _served_beside(context, releases, name)
        if now_served is not None:
            record = _as_canary(record, now_served, share=context.setup.config.deploy.canary)
            about = {
                "release": name,
                "current": now_served.release,
                "percent": f"{100 * record['canary']['share']:.3g}",
            }
            context.find(Finding("deploy-canary", "info", "deploy", fields=about))
        written = decisions.decide(releases, scratch, record, key=key)
        write_json(context.folder / decisions.DECISION, {**written, "key": key_name})
        if name is None:
            context.find(Finding("deploy-withheld", "problem", "deploy", fields={"reasons": _said(verdict)}))
        else:
            _prune(context, releases)
    if name is not None:
        keep_reference(context, verdict, name)


def keep_reference(context: Context, verdict: Mapping[str, Any], name: str) -> None:
    """Makes what drift of a release is measured from, while the rows that it was made from are here.

    It lies outside of the signed release, and a release without it serves as well: what goes wrong is a finding.
    """
    from breakeven.watching import reference

    chosen, root = str(verdict["chosen"]), context.setup.root
    try:
        found = release.open_release(root / RELEASES / name, signing.public_path(key_path(context.setup)))
        fields = train.fields_of(context.setup)
        rows = reference.Rows(context.store, context.setup.task, fields, context.need(f"evaluate/{chosen}"))
        reference.ensure(root / "artifacts", found, verdict["candidates"][chosen].get("rule"), rows)
    except Exception as error:  # a task's own code may raise anything
        about = {"release": name, "reason": str(error) or type(error).__name__}
        context.find(Finding("deploy-no-reference", "warning", "deploy", fields=about))


def _served_beside(context: Context, releases: Path, name: str | None) -> decisions.Decision | None:
    """The decision in force, where the release is to start as a canary beside another one; None: it serves alone."""
    if name is None or context.setup.config.deploy.canary is None:
        return None
    try:
        found = decisions.open_shipping(releases, signing.public_path(key_path(context.setup)))
    except UsageError:  # nothing was released before: somebody has to answer
        return None
    return found if found.release != name else None


def _as_canary(record: Mapping[str, Any], current: decisions.Decision, *, share: float) -> dict[str, Any]:
    """What is in force, with the new release as its canary; why it was chosen stands with the canary."""
    about = {part: record[part] for part in ("candidate", "verdict", "choice", "gates")}
    named = decisions.Named(str(record["release"]), str(record["package"]), record["rule"], share)
    return {**routing.said_of(current), "action": "canary", "canary": {**named.as_json(), **about}}


def _prune(context: Context, releases: Path) -> None:
    keep = context.setup.config.deploy.keep
    removed = decisions.prune(releases, keep)
    if removed:
        context.find(Finding("deploy-pruned", "info", "deploy", fields={"releases": ", ".join(removed), "keep": keep}))


def release_chosen(context: Context, verdict: Mapping[str, Any], scratch: Path, *, key: Path, key_name: str,
                   receipt: Receipt | None = None) -> tuple[str, str]:  # fmt: skip
    """Publishes the verdict's choice inside `publishing`: (release id, package identity). Parity over HTTP is the
    receipt. An unchanged package keeps its release, after that has been verified again.
    """
    if receipt is None:
        from breakeven.measuring.parity import receipt as over_http

        receipt = over_http
    chosen = str(verdict["chosen"])
    # Planning trusts size, time and inode; what is signed is read in full.
    for step in (f"evaluate/{chosen}", f"train/{chosen}", "process"):
        context.store.verify(step)
    folder = scratch / "release"
    package = release.copy_package(context.need(f"evaluate/{chosen}") / "package", folder)
    name = release.release_id(context.setup.config.product.name, package)
    place = context.setup.root / RELEASES / name
    if place.exists():
        _check_former(place, package, key)
        context.find(Finding("deploy-same-release", "info", "deploy", chosen, {"release": name}))
        return name, package
    parity = _parity(context, verdict, folder / release.MODEL, receipt)
    record = _record(context, verdict, name, package) | {"key": key_name}
    training = read_json(context.need(f"train/{chosen}") / train.RECORD)
    sources = record["lineage"]["sources"]
    card = model_card(record, judged=verdict["candidates"][chosen], sources=sources, training=training,
                      processed=read_json(context.need("process") / "report.json"),
                      currency=verdict.get("currency"))  # fmt: skip
    release.complete(folder, record=record, parity={**parity, "release": name}, card=card, key=key)
    release.publish(folder, place)
    return name, package


def _check_former(place: Path, package: str, key: Path) -> None:
    try:
        former = release.open_release(place, signing.public_path(key))
    except IntegrityError as error:
        raise IntegrityError(
            "release-other-key", at=Place(file=str(place)), release=place.name, reason=str(error)
        ) from error
    if former.package != package:
        raise IntegrityError("release-other-package", at=Place(file=str(place)))


def _parity(context: Context, verdict: Mapping[str, Any], package: Path, receipt: Receipt) -> dict[str, Any]:
    from breakeven.data.cases import load_cases
    from breakeven.measuring.quality import read_answers

    setup, chosen = context.setup, str(verdict["chosen"])
    settings: Settings = setup.config.deploy
    cases = load_cases(context.need("process"), setup.task, train.fields_of(setup), "test")
    raw = read_answers(context.need(f"evaluate/{chosen}"), setup.task, cases.ids)
    rule = verdict["candidates"][chosen].get("rule")
    context.progress.say(f"deploy: {min(settings.parity_rows, len(cases))} test rows over HTTP")
    return receipt(package, task=setup.task, cases=cases, raw=raw, rule=rule, rows=settings.parity_rows,
                   tolerance=settings.tolerance)  # fmt: skip


def _record(context: Context, verdict: Mapping[str, Any], name: str, package: str) -> dict[str, Any]:
    """release.json: what it is, from what it was made, and what was measured of it."""
    chosen = str(verdict["chosen"])
    judged, product = verdict["candidates"][chosen], context.setup.config.product
    info = read_info(context.need(f"evaluate/{chosen}") / "package")
    measurements = read_json(context.need(VERDICT) / "measurements.json").get(chosen, {})
    carbon = next((measurements[part] for part in sorted(measurements) if "carbon" in part), None)
    return {
        "id": name, "product": product.name, "description": product.description,
        "task": info["task"], "task_version": info["task_version"],
        "candidate": chosen, "model": info["model"], "model_version": info["model_version"], "package": package,
        "created": now(), "metric": verdict.get("metric"), "measurements": measurements,
        "gates": judged.get("gates", []), "choice": _choice(verdict), "lineage": lineage(context.store, chosen),
        "runtimes": {part: info["runtimes"][part] for part in ("reference", "chosen")},
        "runtimes_tried": info["runtimes"].get("tried", []), "threads": info["runtimes"].get("threads"),
        "hardware": info["hardware"].get("key"), "versions": info["versions"], "licences": info.get("licences", {}),
        "carbon": carbon,
    }  # fmt: skip


def _choice(verdict: Mapping[str, Any]) -> dict[str, Any]:
    sentence = verdict.get("sentence") or {}
    return {"chosen": verdict.get("chosen"), "basis": verdict.get("basis"), "margin": verdict.get("margin"),
            "sentence": sentence.get("text") if isinstance(sentence, Mapping) else sentence}  # fmt: skip


def _decision(context: Context, verdict: Mapping[str, Any], name: str | None, package: str | None) -> dict[str, Any]:
    """What is signed as the decision; beside the release it ships it holds the rule and every candidate's gates."""
    chosen = verdict.get("chosen")
    manifest = context.store.manifest(VERDICT)
    candidates: Mapping[str, Any] = verdict.get("candidates", {})
    return {
        "product": context.setup.config.product.name, "task": verdict.get("task"), "release": name, "package": package,
        "candidate": chosen if name else None, "rule": candidates[str(chosen)].get("rule") if name else None,
        "verdict": manifest.fingerprint if manifest else None, "choice": _choice(verdict),
        "gates": {one: found.get("gates", []) for one, found in candidates.items()},
        "reasons": [] if name else _reasons(verdict),
    }  # fmt: skip


def _reasons(verdict: Mapping[str, Any]) -> list[str]:
    """Why nothing was chosen, a sentence a candidate where the verdict has one."""
    found = [
        f"{name}: {candidate['why_not']}"
        for name, candidate in verdict.get("candidates", {}).items()
        if candidate.get("why_not")
    ]
    sentence = _choice(verdict)["sentence"]
    return found or [sentence or "the verdict chose nothing"]


def _said(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same reasons as messages, for readers of any language."""
    refused = {
        name: message(candidate["why_not_code"], **(candidate.get("why_not_fields") or {}))
        for name, candidate in verdict.get("candidates", {}).items()
        if candidate.get("why_not_code")
    }
    if refused:
        return [message("withheld-because", candidate=name, reason=reason) for name, reason in refused.items()]
    sentence = verdict.get("sentence") or {}
    return [message(sentence["code"], **sentence["fields"]) if sentence.get("code") else message("nothing-chosen")]


def lineage(store: Store, candidate: str) -> dict[str, Any]:
    """`{steps: {step: {fingerprint, created, seconds, versions}}, sources: [...]}` behind a candidate's release."""
    steps: dict[str, Any] = {}
    waiting = [VERDICT, f"evaluate/{candidate}"]
    while waiting:
        name = waiting.pop()
        manifest = store.manifest(name)
        if name in steps or manifest is None:
            continue
        steps[name] = {"fingerprint": manifest.fingerprint, "created": manifest.created, "seconds": manifest.seconds,
                       "versions": manifest.versions}  # fmt: skip
        waiting += manifest.needs
    path = store.folder("collect") / "card.json"
    card = read_json(path) if path.is_file() else {}
    parts = ("name", "kind", "location", "sha256", "bytes", "licence", "rights", "provenance", "fetched")
    sources = [{part: source.get(part) for part in parts} for source in card.get("sources", [])]
    return {"steps": dict(sorted(steps.items())), "sources": sources}


def estimate(setup: Setup) -> list[dict[str, Any]]:
    """A copy, a server start and the parity rows."""
    return [{"step": "deploy", "minutes": 0.1, "memory_gb": 1.0, "download_mb": 0.0, "money": 0.0}]


STAGE = Stage("deploy", Settings, steps, estimate)
