"""The model card of a release: Hugging Face front matter with intervals, then the facts a buyer or auditor asks for.

It says only what was measured, declared or recorded; what nobody stated is called not established.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_ESTABLISHED = "not established"
MONEY = (
    ("marginal_per_1000", "cost per 1,000 answers, marginal"),
    ("at_volume_per_1000", "cost per 1,000 answers, at the declared volume"),
    ("value_per_1000", "value per 1,000 answers to the customer"),
)
SPEED = (
    ("latency_ms_p50", "latency, median"),
    ("latency_ms_p95", "latency, 95th percentile"),
    ("capacity_per_second", "capacity"),
    ("cpu_seconds_per_answer", "CPU time an answer"),
    ("memory_mb", "memory"),
)


def model_card(record: Mapping[str, Any], *, judged: Mapping[str, Any], sources: Sequence[Mapping[str, Any]],
               training: Mapping[str, Any], processed: Mapping[str, Any] | None = None,
               currency: str | None = None) -> str:  # fmt: skip
    """MODEL_CARD.md of a release. `record`: release.json; `judged`: the verdict's entry of the candidate;
    `sources`: the data card's; `training`: training.json; `processed`: report.json of process."""
    base = training.get("base") or {}
    parts = [
        f"---\n{_front_matter(record, judged, base)}---",
        f"# {record['id']}",
        _what(record),
        _choice(record),
        "## Quality on test rows",
        _quality(judged),
        *_slices(judged),
        "## Speed and cost",
        _measured(record.get("measurements", {}), (*SPEED, *MONEY), judged, currency),
        *_runtimes(record),
        *_gates(judged),
        "## Intended use and limits",
        _limits(record),
        "## Training data",
        _data(sources),
        *_rows(processed or {}),
        "## Training",
        _training(record, training, base),
        "## Checking this release",
        _checking(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(record: Mapping[str, Any], judged: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    import io

    from ruamel.yaml import YAML

    task = str(record["task"])
    front: dict[str, Any] = {"license": "other", "license_name": str(base.get("licence") or NOT_ESTABLISHED)}
    if base.get("weights"):
        front["base_model"] = str(base["weights"])
    front |= {"pipeline_tag": task, "tags": ["breakeven", task, str(record["model"])]}
    front["model-index"] = [_index(record, judged)]
    yaml = YAML()
    yaml.width = 10_000
    stream = io.StringIO()
    yaml.dump(front, stream)
    return stream.getvalue()


def _index(record: Mapping[str, Any], judged: Mapping[str, Any]) -> dict[str, Any]:
    metrics = []
    for name, found in (judged.get("metrics") or {}).items():
        if isinstance(found, Mapping) and isinstance(found.get("value"), (int, float)):
            interval = {part: found[part] for part in ("low", "high", "interval", "n") if found.get(part) is not None}
            metrics.append({"type": name, "name": name, "value": round(float(found["value"]), 6), "args": interval})
    task, product = str(record["task"]), str(record["product"])
    dataset = {"type": product, "name": f"test rows of {product}", "split": "test"}
    return {"name": str(record["id"]), "results": [{"task": {"type": task}, "dataset": dataset, "metrics": metrics}]}


def _what(record: Mapping[str, Any]) -> str:
    sold = f"{text(record['description'])}\n\n" if record.get("description") else ""
    return (
        f"{sold}Candidate `{record['candidate']}` (model `{record['model']}`) of the product `{record['product']}`, "
        f"task `{record['task']}`, released {record['created']}. Measured on "
        f"{text(record.get('hardware') or 'one machine')}."
    )


def _choice(record: Mapping[str, Any]) -> str:
    sentence = (record.get("choice") or {}).get("sentence")
    return f"Why this one: {text(sentence)}" if sentence else ""


def _quality(judged: Mapping[str, Any]) -> str:
    rows = [[name, *_figure(found)] for name, found in (judged.get("metrics") or {}).items()]
    return _table(["metric", "value", "interval", "cases"], rows)


def _slices(judged: Mapping[str, Any]) -> Iterable[str]:
    """One table a slice or group; a class is a slice by the truth."""
    for name, entry in (judged.get("per_slice") or {}).items():
        rows = []
        for value, found in (entry if isinstance(entry, Mapping) else {}).items():
            rows += [[value, metric, *_figure(one)] for metric, one in found.items() if isinstance(one, Mapping)]
        if rows:
            yield f"### By {text(name)}"
            yield _table([name, "metric", "value", "interval", "cases"], rows)


def _measured(found: Mapping[str, Any], names: Iterable[tuple[str, str]], judged: Mapping[str, Any],
              currency: str | None) -> str:  # fmt: skip
    rows = []
    for name, words in names:
        one = found.get(name) or judged.get(name)
        if isinstance(one, Mapping) and one.get("value") is not None:
            unit = str(one.get("unit") or "")
            label = f"{words} ({currency})" if currency and name.endswith("_per_1000") else f"{words}, {unit}"
            rows.append([label, *_figure(one), str(one.get("origin") or "")])
    return _table(["what", "value", "interval", "cases or rounds", "origin"], rows)


def _runtimes(record: Mapping[str, Any]) -> Iterable[str]:
    """What was tried to answer with, on the machine named above, and what came of it."""
    named, tried = record.get("runtimes") or {}, record.get("runtimes_tried") or []
    if len(tried) < 2:
        return
    head = ["runtime", "ms alone", "ms in batches", "rows that agree", "same answers", "largest gap", ""]
    figures = ("ms_single", "ms_batched", "agreement", "answers_alike", "largest_gap")
    yield "### Runtimes tried"
    yield _table(head, [[one["runtime"], *(number(one.get(part)) for part in figures), _came_to(one, named)]
                        for one in tried])  # fmt: skip
    threads = record.get("threads") or {}
    if threads.get("tried"):
        paces = [f"{one['threads']}: {number(one['ms_batched'])}" for one in threads["tried"]]
        yield f"Milliseconds in batches by threads of the chosen one: {', '.join(paces)}; taken: {threads['chosen']}."


def _came_to(tried: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    if tried["runtime"] == named.get("chosen"):
        return "answers"
    if tried["runtime"] == named.get("reference"):
        return "reference, kept beside it"
    if tried.get("failed"):
        return f"failed: {tried['failed']}"
    if not tried.get("within"):
        return "outside the tolerance"
    return "not clearly faster" if tried.get("batch_independent") else "answers depend on the batch"


def _gates(judged: Mapping[str, Any]) -> Iterable[str]:
    rows = [
        [gate.get("gate"), f"{gate.get('kind')} {number(gate.get('limit'))}", gate.get("judged"), gate.get("passes")]
        for gate in judged.get("gates") or []
    ]
    if rows:
        yield "## Gates"
        yield _table(["gate", "limit", "judged by", "passes"], rows)


def _limits(record: Mapping[str, Any]) -> str:
    return (
        f"Made for inputs like the test rows it was measured on, in the product `{record['product']}`. Not measured: "
        "other languages, other sources, inputs meant to deceive it, and change over time. Answers are probabilities "
        "with a rule on top; the rule stands in the signed decision beside the release, follows the declared payoff, "
        "and may change without a new release. Do not use it alone for decisions about a person's rights, health or "
        "income."
    )


def _data(sources: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [source.get("name"), str(source.get("sha256") or "")[:16], source.get("licence") or NOT_ESTABLISHED,
         source.get("rights") or NOT_ESTABLISHED, source.get("provenance") or NOT_ESTABLISHED]
        for source in sources
    ]  # fmt: skip
    note = ""
    if any(str(source.get("rights") or NOT_ESTABLISHED) == NOT_ESTABLISHED for source in sources):
        note = (
            "\n\nThe rights in the content of at least one source are **not established**: a licence of the package "
            "that carries it says nothing about them. The rows are not part of this release, except the few "
            "transformed inputs in `model/check.json`."
        )
    return _table(["source", "sha256", "licence", "rights in the content", "provenance"], rows) + note


def _rows(processed: Mapping[str, Any]) -> Iterable[str]:
    """What became of the rows: repeats among them, what was dropped, and the sides of the split."""
    came, repeats = processed.get("rows_in"), processed.get("duplicates") or {}
    if not came:
        return
    rows = [["rows read", number(came)]]
    for name, words in (("exact", "exact repeats among them"), ("near", "near repeats among the others")):
        if (found := repeats.get(name)) is not None:
            rows.append([words, f"{number(found)} ({100 * found / came:.1f}%)"])
    dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in processed.get("dropped", {}).items())
    rows.append(["dropped", dropped or "none"])
    rows += [[f"{side} rows", number(count)] for side, count in processed.get("splits", {}).items()]
    yield _table(["rows", "how many"], rows)


def _training(record: Mapping[str, Any], training: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = [
        ["pretrained weights", base.get("weights") or "none"],
        ["revision", base.get("revision") or ("none" if not base else NOT_ESTABLISHED)],
        ["licence of the weights", (base.get("licence") or NOT_ESTABLISHED) if base else "none needed"],
        ["trained parameters", training.get("parameters")],
        ["seconds", number(training.get("seconds"))],
        ["steps", training.get("steps")],
        ["stopped by", training.get("stopped")],
        ["still improving when stopped", "yes" if training.get("still_improving") else "no"],
    ]
    carbon = record.get("carbon")
    if isinstance(carbon, Mapping) and carbon.get("value") is not None:
        rows.append([f"carbon, {carbon.get('unit')}", f"{number(carbon['value'])} ({carbon.get('origin')})"])
    return _table(["", ""], [[name, value] for name, value in rows if value is not None])


def _checking(record: Mapping[str, Any]) -> str:
    return (
        f"Signed with the key `{str(record.get('key'))[:16]}`. `breakeven serve` checks the signature, the manifest "
        "and the parity receipt before it loads anything; the stock command of OpenSSF model signing checks the "
        "signature:\n\n"
        "    model_signing verify key RELEASE --signature RELEASE/model.sig --public_key release.pub"
    )


def _figure(found: Any) -> list[str]:
    """[value, interval, n] of a quantity."""
    if not isinstance(found, Mapping):
        return [text(found), "", ""]
    low, high = found.get("low"), found.get("high")
    interval = "" if low is None and high is None else f"{number(low)} to {number(high)}"
    return [number(found.get("value")), interval, text(found.get("n") or "")]


def number(value: Any) -> str:
    """A number in four significant digits, a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else text(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def text(value: Any) -> str:
    """A value as Markdown that stays text: names of classes and slices come from data."""
    cleaned = " ".join(str(value).split())
    for sign in "\\`*_[]<>|#":
        cleaned = cleaned.replace(sign, f"\\{sign}")
    return cleaned


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "Nothing was measured."
    lines = [f"| {' | '.join(text(cell) for cell in head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join('-' if cell in (None, '') else text(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
