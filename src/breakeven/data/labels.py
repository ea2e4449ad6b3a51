"""Labels as people write them: which are one class in several spellings, which say that none was given, which are no
labels at all. Nothing is changed here; what is found is told, with the setting that would change it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from breakeven.errors import DataError, Finding, Level, Place

# 97 rows of a class give its recall an interval of about ten points to either side.
ROWS_A_CLASS = 97
# "none" and "unknown" are left out: they are often a class of their own.
NO_LABEL = frozenset({"n/a", "na", "nan", "null", "nil", "#n/a", "-", "--", "?"})
_SHOWN = 8
_LONGEST = 40
_MANY = 50  # classes from which on a target may be something else: a text, a number, an id


def folded(label: str) -> str:
    """A label without what spellings of one class differ by: width, capitals, white space."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def alike(labels: Mapping[str, int]) -> list[list[str]]:
    """Groups of labels that differ only in capitals, width or white space, the commonest spelling first."""
    groups: dict[str, list[str]] = {}
    for label in sorted(labels, key=lambda label: (-labels[label], label)):
        if label.strip():
            groups.setdefault(folded(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def shown(label: str) -> str:
    """A label within a sentence: on one line, short, and in quotes where its ends would not be seen."""
    line = "".join(letter if letter.isprintable() else " " for letter in label)
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    return line if line == line.strip() and line else f"'{line}'"


def listed(counts: Mapping[str, int], most: int = 20) -> str:
    """`tech: 234, billing: 224, …`, the commonest first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{shown(label)}: {count}" for label, count in ordered[:most]) + (", …" * (len(ordered) > most))


def spelling(targets: Sequence[str | None], field: str) -> list[Finding]:
    """Findings on classes in several spellings, and on a class whose name says that there is none."""
    counts = Counter(target for target in targets if target is not None and target.strip())
    found = []
    if groups := alike(counts):
        words = [" = ".join(f"'{label}'" for label in group[:_SHOWN]) for group in groups[:_SHOWN]]
        rows = sum(counts[label] for group in groups for label in group[1:])
        fields = {"groups": "; ".join(words), "rows": rows, "field": _name(field), "column": _sql(field)}
        found.append(Finding("labels-alike", "problem", "process", field, fields))
    empty = sorted(label for label in counts if folded(label) in NO_LABEL)
    if empty and len(counts) > 2:
        rows = sum(counts[label] for label in empty)
        condition = " and ".join(f"{_sql(field)} <> '{label}'" for label in empty[:_SHOWN])
        words = [f"'{label}'" for label in empty[:_SHOWN]]
        fields = {"labels": words, "rows": rows, "condition": condition}
        found.append(Finding("labels-missing", "warning", "process", field, fields))
    return found


def _name(field: str) -> str:
    return field if field.replace("_", "").isalnum() else f'"{field}"'


def _sql(field: str) -> str:
    """A column's name within an expression that stands in double quotes in the file."""
    return field if field.isascii() and field.replace("_", "a").isalnum() else f"`{field}`"


def too_few_tested(totals: Mapping[str, int], tested: Mapping[str, int], share: float) -> Finding | None:
    """One finding on all classes that have too few test rows to be judged; `share` of all rows are test rows."""
    few = {label: tested.get(label, 0) for label in totals if tested.get(label, 0) < ROWS_A_CLASS}
    if not few:
        return None
    rarest = min(totals[label] for label in few)
    named = dict(sorted(few.items(), key=lambda item: (item[1], item[0])))
    level: Level = "warning" if all(few.values()) else "problem"
    words: dict[str, Any] = {
        "classes": ", ".join(f"{shown(label)} {count}" for label, count in list(named.items())[:_SHOWN])
        + (", …" * (len(named) > _SHOWN)),
        "count": len(few),
        "all": len(totals),
        "needed": ROWS_A_CLASS,
        "rows": f"{round(ROWS_A_CLASS / (share * rarest / sum(totals.values()))):,}",
    }
    return Finding("test-rows-few", level, "process", None, words)


def refuse_free_values(counts: Mapping[str, int], field: str, others: Mapping[str, int]) -> None:
    """DataError where the target is no label: nearly as many values as rows. `others`: columns -> distinct values."""
    rows = sum(counts.values())
    if len(counts) <= _MANY or len(counts) * 4 <= rows:
        return
    code = "target-numbers" if all(_number(label) for label in counts) else "target-not-labels"
    columns = [name for name, distinct in others.items() if 2 <= distinct <= _MANY and name != field][:_SHOWN]
    examples = [shown(label) for label in list(counts)[:3]]
    raise DataError(
        code, at=Place(field=field), distinct=len(counts), rows=rows, examples=examples, columns=columns or ["-"]
    )


def _number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
