"""A package, opened: what serving, evaluation and `predict` answer with.

Nothing is loaded before the format, the task and every file have been checked; nothing outside the folder is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import read_json
from breakeven.errors import BreakevenError, EnvironmentFault, IntegrityError, Place
from breakeven.packaging.contents import check_contents
from breakeven.packaging.hardware import cores, hardware

if TYPE_CHECKING:
    from breakeven.task import Model, Predictor, Scoring, Session, Task

FORMAT = 1
PACKAGE = "package.json"
BATCH_CASES = 64
BATCH_SIZE = 1024  # padded size of a batch, in the model's own unit (tokens)
# What package.json must hold, and of which type.
SHAPE: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "task_version": int,
    "candidate": str,
    "model": str,
    "model_version": int,
    "settings": dict,
    "facts": dict,
    "meters": list,
    "runtimes": dict,
    "tolerance": (int, float),
    "calibration": dict,
    "limits": dict,
    "hardware": dict,
    "versions": dict,
}


def read_info(folder: Path) -> dict[str, Any]:
    """The checked content of `package.json`; a newer format or a missing part is an IntegrityError."""
    path = folder / PACKAGE
    if not path.is_file():
        raise IntegrityError("package-missing-info", at=Place(file=str(folder)))
    info = read_json(path)
    found = info.get("format") if isinstance(info, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise IntegrityError("format-newer", at=Place(file=str(path)), found=found, known=FORMAT)
    if found != FORMAT:
        raise IntegrityError("package-shape", at=Place(file=str(path)), part="format")
    for name, kind in SHAPE.items():
        if not isinstance(info.get(name), kind):
            raise IntegrityError("package-shape", at=Place(file=str(path)), part=name)
    runtimes = info["runtimes"]
    for name in ("reference", "chosen"):
        if not isinstance(runtimes.get(name), str) or not _plain(runtimes[name]):
            raise IntegrityError("package-shape", at=Place(file=str(path)), part=f"runtimes.{name}")
    return dict(info)


def _plain(name: str) -> bool:
    """Whether a runtime's name can be one folder and nothing else."""
    return bool(name) and name.replace("-", "").replace("_", "").isalnum()


def batches(
    sizes: Sequence[int] | None, count: int, *, cases: int = BATCH_CASES, size: int = BATCH_SIZE
) -> list[list[int]]:
    """Indices in batches: alike in size where sizes are known, so that little is padded; one case at least."""
    if sizes is None:
        return [list(range(start, min(start + cases, count))) for start in range(0, count, cases)]
    result: list[list[int]] = []
    for index in sorted(range(count), key=lambda i: sizes[i]):
        last = result[-1] if result else None
        if last is None or len(last) >= cases or (len(last) + 1) * max(sizes[index], 1) > size:
            result.append([index])
        else:
            last.append(index)
    return result


def predict_all(predictor: Predictor, inputs: list[Any]) -> list[Any]:
    """Raw outputs in the order of `inputs`, answered in batches of like sizes; some predictors make them themselves."""
    if len(inputs) == 1 or predictor.tokens_per_batch is not None:
        return predictor.predict(inputs)
    outputs: list[Any] = [None] * len(inputs)
    for batch in batches(predictor.sizes(inputs), len(inputs)):
        for index, raw in zip(batch, predictor.predict([inputs[i] for i in batch]), strict=True):
            outputs[index] = raw
    return outputs


def open_package(folder: Path, *, runtime: str | None = None, threads: int = 1, task: Task | None = None) -> Package:
    """Opens a package with its chosen runtime, or with the one named. `task`: only for a task that no table knows.

    `threads` 0: as many as were measured to be best, or all cores on another machine.
    """
    info = read_info(folder)
    threads = threads or threads_here(info)
    task = _task(folder, info, task)
    name = runtime or str(info["runtimes"]["chosen"])
    if name not in (info["runtimes"]["reference"], info["runtimes"]["chosen"]):
        raise IntegrityError(
            "package-no-runtime",
            at=Place(file=str(folder)),
            runtime=name,
            allowed=sorted({info["runtimes"]["reference"], info["runtimes"]["chosen"]}),
        )
    model = _model(folder, info, task)
    return Package(folder, info, task, model, runtime=name, threads=threads)


def threads_here(info: Mapping[str, Any]) -> int:
    """Threads for a package on this machine: as measured here, else all cores."""
    known = info["runtimes"].get("threads") or {}
    best = known.get("chosen") if known.get("tried") else None
    if not isinstance(best, int) or info["hardware"].get("key") != hardware()["key"]:
        return cores()
    return min(max(best, 1), cores())


def _task(folder: Path, info: Mapping[str, Any], task: Task | None) -> Task:
    if task is None:
        from breakeven import tasks

        task = tasks.find(str(info["task"]))
    name = task_name(task)
    if name != info["task"]:
        raise IntegrityError("package-other-task", at=Place(file=str(folder)), found=info["task"], expected=name)
    if info["task_version"] != task.version:
        raise IntegrityError(
            "package-version",
            at=Place(file=str(folder)),
            what=f"task '{info['task']}'",
            found=info["task_version"],
            known=task.version,
        )
    return task


def task_name(task: Task) -> str:
    """The name under which a task is found again: its own, or `module:Class` for one from outside."""
    from breakeven import tasks

    return task.name if task.name in tasks.TABLE else f"{type(task).__module__}:{type(task).__qualname__}"


def _model(folder: Path, info: Mapping[str, Any], task: Task) -> Model:
    from pydantic import ValidationError

    entry = task.model(str(info["model"]))
    if info["model_version"] != entry.version:
        raise IntegrityError(
            "package-version",
            at=Place(file=str(folder)),
            what=f"model '{info['model']}'",
            found=info["model_version"],
            known=entry.version,
        )
    kind = entry.load()
    try:
        settings = kind.settings.model_validate(info["settings"])
    except ValidationError as error:
        raise IntegrityError("package-shape", at=Place(file=str(folder / PACKAGE)), part="settings") from error
    return kind(settings, task)


def load_predictor(model: Model, folder: Path, runtime: str, threads: int) -> Predictor:
    """The predictor of one runtime; whatever a broken file makes a framework raise becomes one of our errors."""
    place = folder / runtime
    check_contents(place)
    try:
        return model.load(place, runtime, threads=threads)
    except BreakevenError:
        raise
    except MemoryError as error:
        raise EnvironmentFault("package-memory", at=Place(file=str(place))) from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise IntegrityError("package-unloadable", at=Place(file=str(place)), runtime=runtime, reason=reason) from error


class Package:
    """A loaded package. One object answers one batch at a time; it keeps nothing between calls."""

    def __init__(
        self, folder: Path, info: dict[str, Any], task: Task, model: Model, *, runtime: str, threads: int
    ) -> None:
        self.folder = folder
        self.info = info
        self.task = task
        self.facts: dict[str, Any] = info["facts"]
        self.runtime = runtime
        self.threads = threads
        self.chain = _chain(info.get("transforms"))
        self.scoring: Scoring = task.scoring()
        self.model = model
        self.here: dict[str, Any] = {}  # what a check on another machine found: see `recheck`
        self._predictor = self._batching(load_predictor(model, folder, runtime, threads), runtime)

    @property
    def predictor(self) -> Predictor:
        """What answers now."""
        return self._predictor

    @property
    def candidate(self) -> str:
        """The candidate's name in the project file."""
        return str(self.info["candidate"])

    @property
    def limits(self) -> dict[str, int]:
        """`{max_inputs, max_bytes}` of one request."""
        return dict(self.info["limits"])

    def parse(self, payload: Any) -> Any:
        """A checked input from a decoded JSON payload; InputError names the field."""
        return self.task.parse(payload, self.facts)

    def prepare(self, inputs: list[Any]) -> list[Any]:
        """Parsed inputs after the packaged transforms, as the model takes them."""
        return inputs if self.chain is None else list(self.chain.apply(self.task, inputs))

    def raw(self, inputs: list[Any]) -> list[Any]:
        """Calibrated raw outputs of parsed inputs, in order. Any number: long lists are answered in batches."""
        if not inputs:
            return []
        outputs = predict_all(self._predictor, self.prepare(inputs))
        return self.scoring.calibrated(outputs, self.info["calibration"]) if self.info["calibration"] else outputs

    def default_rule(self) -> dict[str, Any]:
        """The answer rule without a payoff, for a package that no decision stands beside."""
        return self.scoring.rule({}, None, self.facts)

    def answer(self, raw: list[Any], rule: Mapping[str, Any] | None) -> list[Any]:
        """Answers from calibrated raw outputs, by the rule of the decision (None: the default rule)."""
        return self.scoring.decide(raw, self.default_rule() if rule is None else rule)

    def render(self, raw: list[Any], answers: list[Any]) -> list[Any]:
        """The JSON outputs of answers."""
        return [self.task.render(one, answer, self.facts) for one, answer in zip(raw, answers, strict=True)]

    def usage(self, inputs: list[Any], outputs: list[Any]) -> dict[str, int]:
        """Quantity by meter of these answers together."""
        counted = dict.fromkeys(self.info["meters"], 0)
        for item, output in zip(inputs, outputs, strict=True):
            for meter, quantity in self.task.usage(item, output).items():
                counted[meter] = counted.get(meter, 0) + quantity
        return counted

    def sizes(self, inputs: list[Any]) -> list[int] | None:
        """Work by input, in the model's own unit; None: all alike."""
        return self._predictor.sizes(self.prepare(inputs))

    def stream(self, item: Any) -> Iterator[Any]:
        """Parts of the answer to one parsed input as they come."""
        return self._predictor.stream(self.prepare([item])[0])

    def session(self) -> Session | None:
        """A stateful policy's session, None for a stateless model."""
        return self._predictor.session()

    def close(self) -> None:
        """Frees what was loaded."""
        self._predictor.close()

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def use(self, predictor: Predictor, runtime: str) -> None:
        """Answers with another of the package's runtimes from now on."""
        self._predictor.close()
        self._predictor, self.runtime = self._batching(predictor, runtime), runtime

    def _batching(self, predictor: Predictor, runtime: str) -> Predictor:
        """Gives a predictor that makes its own batches the tokens that were measured to be best."""
        for one in self.info["runtimes"].get("tried") or []:
            if one.get("runtime") == runtime and isinstance(one.get("tokens_per_batch"), int):
                predictor.tokens_per_batch = max(1, one["tokens_per_batch"])
        return predictor

    def check_here(self) -> dict[str, Any]:
        """Parity and speed on this machine, where it differs from the one measured: see `recheck.check_here`."""
        from breakeven.packaging.recheck import check_here

        return check_here(self)


def _chain(data: Any) -> Any:
    if not data:
        return None
    from breakeven.transforms import Chain

    return Chain.from_json(data)
