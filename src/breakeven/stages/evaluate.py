"""evaluate: each candidate packaged and judged, all of them through the server, then the verdict.

Three kinds of steps with three sets of settings: a new payoff, price or gate re-runs the verdict alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from breakeven.artifacts import fingerprint, read_json, write_json
from breakeven.data.cases import names_of
from breakeven.errors import ConfigError, Place
from breakeven.measuring import market, quality, speed
from breakeven.measuring.names import check_settings
from breakeven.measuring.settings import Settings
from breakeven.pipeline import Context, Setup, Stage, Step
from breakeven.stages import declared_files, train

__all__ = ["STAGE", "Settings"]

VERSION, VERDICT_VERSION = 2, 3
SPEED, VERDICT = "evaluate/speed", "evaluate/verdict"
RESERVED = ("speed", "verdict")
PACKAGING_SECONDS = 1.5  # a timing: runtimes are told apart by a tenth, and mostly differ by a half
LOOKS = "test-looks.json"
SERVER_SECONDS, OPEN_SECONDS, ANSWER_SECONDS = 4.0, 0.5, 0.0003  # assumed: to start and end one, to open, to answer


def steps(setup: Setup) -> list[Step]:
    """One step a candidate, one for the load tests, one for the verdict."""
    names = [candidate.name for candidate in setup.config.train.candidates]
    for name in names:
        if name in RESERVED:
            raise ConfigError("candidate-reserved", at=Place(field=f"train.candidates.{name}"), name=name)
    check_settings(setup.config.evaluate, setup.task, names_of(train.fields_of(setup), "columns"))
    _check_runtimes(setup)
    return [*(_candidate_step(setup, name) for name in names), _speed_step(setup, names), _verdict_step(setup, names)]


def _check_runtimes(setup: Setup) -> None:
    """A runtime that is asked for by name must be one of some candidate's: a slip would quietly try nothing."""
    wanted = setup.config.evaluate.runtimes
    if not isinstance(wanted, tuple):
        return
    models = [train.model_of(setup.task, candidate) for candidate in setup.config.train.candidates]
    known = sorted({name for model in models for name in model.runtimes()})
    for name in wanted:
        if name not in known:
            at = Place(field="evaluate.runtimes")
            raise ConfigError("runtime-unknown-setting", at=at, runtime=name, allowed=known)


def _candidate_step(setup: Setup, name: str) -> Step:
    settings: Settings = setup.config.evaluate
    read = {
        "evaluate.runtimes": settings.runtimes,
        "evaluate.tolerance": settings.tolerance,
        "evaluate.agreement": settings.agreement,
        "collect.fields": train.fields_of(setup),
    }
    return Step(f"evaluate/{name}", VERSION, _run_candidate, settings=read, needs=(f"train/{name}", "process"))


def _run_candidate(context: Context) -> None:
    setup, name = context.setup, context.step.name.split("/", 1)[1]
    settings: Settings = setup.config.evaluate
    candidate = next(one for one in setup.config.train.candidates if one.name == name)
    data = quality.read_data(context.need("process"), setup.task, train.fields_of(setup))
    found = quality.judge(
        train.model_of(setup.task, candidate),
        data,
        task=setup.task,
        trained=context.need(f"train/{name}"),
        folder=context.folder,
        candidate=name,
        model_name=candidate.model,
        runtimes=settings.runtimes,
        tolerance=settings.tolerance,
        agreement=settings.agreement,
        seconds=PACKAGING_SECONDS,
    )
    for finding in found:
        context.find(finding)


def _speed_step(setup: Setup, names: list[str]) -> Step:
    load = setup.config.evaluate.load
    read = {"evaluate.load.seconds": load.seconds, "evaluate.load.rounds": load.rounds}
    return Step(SPEED, VERSION, _run_speed, settings=read, needs=(*(f"evaluate/{name}" for name in names), "process"))


def _run_speed(context: Context) -> None:
    setup = context.setup
    names = [candidate.name for candidate in setup.config.train.candidates]
    judged = {name: context.need(f"evaluate/{name}") for name in names}
    # Somebody else's API is never load-tested: its price is quoted, its latency that of the evaluation's calls.
    ours = [name for name, folder in judged.items() if not read_json(folder / quality.QUALITY).get("price_per_answer")]
    packages = {name: judged[name] / quality.PACKAGE for name in ours}
    former = context.store.folder(SPEED) / speed.SPEED
    data = quality.read_data(context.need("process"), setup.task, train.fields_of(setup))
    load = setup.config.evaluate.load
    plan = speed.Plan(
        load.seconds_for(len(ours)),
        load.rounds,
        payloads=[setup.task.payload(item) for item in data.test.inputs[: speed.PAYLOADS]],
    )

    def report(done: float, total: float, what: str) -> None:
        context.progress.update(SPEED, done, total, {"candidate": what})

    found = speed.measure(packages, plan, former=read_json(former) if former.is_file() else None, report=report)
    write_json(context.folder / speed.SPEED, found.as_json())
    for finding in found.findings:
        context.find(finding)


def _verdict_step(setup: Setup, names: list[str]) -> Step:
    settings: Settings = setup.config.evaluate
    both = settings.model_dump(mode="json", exclude={"runtimes", "tolerance", "agreement", "load"})
    read = {f"evaluate.{key}": value for key, value in both.items()}
    read |= {f"business.{key}": value for key, value in market.settings_read(setup.config.business).items()}
    needs = (*(f"train/{name}" for name in names), *(f"evaluate/{name}" for name in names), SPEED, "process")
    return Step(
        VERDICT,
        VERDICT_VERSION,
        _run_verdict,
        settings=read,
        files=declared_files.studies(setup.root, setup.config.business),
        needs=needs,
        exports=("measurements.json", "verdict.json"),
    )


def _run_verdict(context: Context) -> None:
    from breakeven.data.cases import load_cases
    from breakeven.measuring import verdict

    setup = context.setup
    settings: Settings = setup.config.evaluate
    cases = load_cases(context.need("process"), setup.task, train.fields_of(setup), "test")
    files = {candidate.name: _files(context, candidate.name) for candidate in setup.config.train.candidates}
    bench = verdict.bench_of(setup.task, cases, files, settings, setup.seed)
    raw = {name: quality.read_answers(context.need(f"evaluate/{name}"), setup.task, cases.ids) for name in files}
    plan = setup.config.business
    studied = None if plan is None else declared_files.research(setup.root, plan, seed=setup.seed)
    business = market.of_plan(plan, studied)
    result = verdict.conclude(bench, files, raw, settings=settings, business=business, looks=count_look(context))
    write_json(context.folder / "measurements.json", verdict.finite(result.measurements))
    write_json(context.folder / "verdict.json", result.verdict)
    for finding in result.findings:
        context.find(finding)


def _files(context: Context, name: str) -> Any:
    from breakeven.measuring.facts import Files

    trained, judged = context.need(f"train/{name}"), context.need(f"evaluate/{name}")
    measured = read_json(context.need(SPEED) / speed.SPEED)
    return Files(
        read_json(trained / train.RECORD),
        read_json(judged / quality.QUALITY),
        read_json(judged / quality.PACKAGE / "package.json"),
        measured["candidates"].get(name),
        measured.get("hardware", {}).get("key"),
    )


def count_look(context: Context) -> int:
    """How many different sets of answers were judged on this very test set, this one included."""
    path: Path = context.store.root / LOOKS
    known = read_json(path) if path.is_file() else {}
    manifest = context.store.manifest("process")
    key = manifest.fingerprint if manifest else "unknown"
    settings: Settings = context.setup.config.evaluate
    names = [candidate.name for candidate in context.setup.config.train.candidates]
    judged = {name: getattr(context.store.manifest(f"evaluate/{name}"), "fingerprint", None) for name in names}
    look = fingerprint(
        {"judged": judged, "payoff": settings.payoff, "rates": settings.base_rates, "reject": settings.reject}
    )
    seen = list(known.get(key, []))
    if look[:16] not in seen:
        seen.append(look[:16])
        write_json(path, {**known, key: seen})
    return len(seen)


def estimate(setup: Setup) -> list[dict[str, Any]]:
    """Rough minutes and memory: rows to answer by the models' own pace, the load tests by their own setting."""
    settings: Settings = setup.config.evaluate
    rows = [_estimated(setup, candidate) for candidate in setup.config.train.candidates]
    load = settings.load.seconds_for(len(rows)) + SERVER_SECONDS * len(rows)
    rows.append({"step": SPEED, "minutes": load / 60, "memory_gb": 1.5})
    rows.append({"step": VERDICT, "minutes": 0.02, "memory_gb": 0.5})
    return [{"download_mb": 0.0, "money": 0.0, **row} for row in rows]


def _estimated(setup: Setup, candidate: Any) -> dict[str, Any]:
    """Packaging: validation rows by every runtime, then the test rows by the chosen one."""
    settings, model = setup.config.evaluate, train.model_of(setup.task, candidate)
    train_rows, split = train.expected_rows(setup), setup.config.process.split
    runtimes = len(quality.allowed(model, settings.runtimes) or model.runtimes_by_default())
    share = (split.validation * runtimes + split.test) / (1 - split.validation - split.test)
    asked = model.estimate(train_rows)
    seconds = OPEN_SECONDS + train_rows * share * asked.get("answer_seconds", ANSWER_SECONDS)
    return {"step": f"evaluate/{candidate.name}", "minutes": seconds / 60, "memory_gb": asked["memory_gb"]}


STAGE = Stage("evaluate", Settings, steps, estimate)
