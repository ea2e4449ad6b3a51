"""A table being thinned: which rows stay, what every dropped one was dropped for, and whose repeat a row is."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breakeven.data import duplicates, named, personal
from breakeven.data.cases import names_of
from breakeven.errors import DataError, Place

if TYPE_CHECKING:
    import polars as pl


class Selection:
    """Rows still kept, the texts they are compared by, and counts of what was dropped and found.

    `roots[i]` is the text that row i repeats, nearly or exactly; its own where it repeats none.
    """

    def __init__(self, frame: pl.DataFrame, roles: Mapping[str, Any]) -> None:
        self.frame = frame
        self.roles = roles
        self.texts = compared(frame, names_of(roles, "inputs"))
        self.roots = self.texts
        self.dropped: Counter[str] = Counter()
        self.found: dict[str, Any] = {"exact": 0, "near": 0, "conflicts": 0, "near_conflicts": 0, "skipped": 0}

    def __len__(self) -> int:
        height: int = self.frame.height
        return height

    def keep(self, mask: Iterable[Any], reason: str) -> None:
        """Drops the rows where `mask` is false and counts them."""
        import polars as pl

        flags = [bool(flag) for flag in mask]
        if all(flags):
            return
        self.dropped[reason] += len(flags) - sum(flags)
        self.frame = self.frame.filter(pl.Series(flags, dtype=pl.Boolean))
        self.texts = [text for text, flag in zip(self.texts, flags, strict=True) if flag]
        self.roots = [root for root, flag in zip(self.roots, flags, strict=True) if flag]

    def targets(self) -> list[str]:
        """The target of every row as text; empty texts where there is no target."""
        name = self.roles.get("target")
        return [""] * len(self) if name is None else [str(value) for value in strings(self.frame, name)]

    def drop_missing(self) -> None:
        """Rows without a target, without any input, or without the time that a split goes by."""
        target, time = self.roles.get("target"), self.roles.get("time")
        if target is not None:
            labels = strings(self.frame, target)
            if not any(labels):
                raise DataError("no-labels", at=Place(field=target), rows=len(labels))
            self.keep([bool(label and label.strip()) for label in labels], "missing_target")
        self.keep([bool(text) for text in self.texts], "empty_input")
        if time is not None:
            self.keep(self.frame[time].is_not_null().to_list(), "missing_time")

    def drop_conflicts(self, *, drop: bool) -> None:
        """Counts rows whose text stands under several targets, and drops all of them where asked."""
        labels: dict[str, set[str]] = {}
        for text, target in zip(self.texts, self.targets(), strict=True):
            labels.setdefault(text, set()).add(target)
        conflicting = [len(labels[text]) > 1 for text in self.texts]
        self.found["conflicts"] = sum(conflicting)
        self.found["exact"] = len(self.texts) - len(labels)
        if drop:
            self.keep([not flag for flag in conflicting], "conflicting_label")

    def drop_repeats(self, which: str) -> None:
        """Exact repeats, then near ones; the first of the table stays, so that appended rows change nothing."""
        repeated = 0
        if which != "none":
            seen = set(self.texts)
            firsts = [text in seen and not seen.discard(text) for text in self.texts]  # type: ignore[func-returns-value]
            self.keep(firsts, "exact_duplicate")
        else:
            repeated = len(self.texts) - len(set(self.texts))
        near = duplicates.near(self.texts)
        parents = near.parent.tolist()
        targets = self.targets()
        self.found["near"] = sum(parent >= 0 for parent in parents) - repeated
        self.found["near_conflicts"] = sum(
            p >= 0 and targets[p] != target for p, target in zip(parents, targets, strict=True)
        )
        self.found["skipped"] = near.skipped
        self.roots = [self.texts[root] for root in near.roots().tolist()]
        if which == "near":
            self.keep([parent < 0 for parent in parents], "near_duplicate")
            self.roots = self.texts

    def count_personal(self, fields: Sequence[str], kinds: Sequence[str]) -> tuple[dict[str, int], list[bool]]:
        """(finds by kind over the text fields, for every row whether it holds any)."""
        counted: Counter[str] = Counter()
        holds = [False] * len(self)
        for field in fields:
            found, flags = personal.count(strings(self.frame, field), kinds)
            counted.update(found)
            holds = [one or other for one, other in zip(holds, flags, strict=True)]
        return dict(counted), holds

    def count_names(self, fields: Sequence[str], model: str | None) -> tuple[dict[str, int], int]:
        """(persons and places over the text fields, texts that no model here reads)."""
        texts = [text for field in fields for text in strings(self.frame, field) if text]
        return named.count(texts, model)

    def identities(self) -> tuple[list[str], list[str]]:
        """(ids, keys the split hangs on): the declared id, else the content; repeats share the key of their first."""
        name = self.roles.get("id")
        if name is None:
            return self._content_ids(), [digest(root) for root in self.roots]
        ids = [str(value) for value in strings(self.frame, name)]
        if len(set(ids)) < len(ids):
            twice = next(value for value, count in Counter(ids).items() if count > 1)
            raise DataError("id-not-unique", at=Place(field=name), value=twice, rows=len(ids) - len(set(ids)))
        of_root = dict(zip(reversed(self.texts), reversed(ids), strict=True))
        return ids, [of_root.get(root, value) for root, value in zip(self.roots, ids, strict=True)]

    def _content_ids(self) -> list[str]:
        repeated: Counter[str] = Counter()
        ids = []
        for text in self.texts:
            repeated[text] += 1
            ids.append(digest(text) + (f"-{repeated[text]}" if repeated[text] > 1 else ""))
        return ids


def compared(frame: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """What rows are compared by: their inputs joined, in the form that ignores case and white space."""
    import polars as pl

    parts = [pl.col(name).cast(pl.String).fill_null("") for name in names]
    return [
        duplicates.normal(text) for text in frame.select(pl.concat_str(parts, separator="\n")).to_series().to_list()
    ]


def strings(frame: pl.DataFrame, name: str) -> list[str | None]:
    """A column as texts."""
    import polars as pl

    texts: list[str | None] = frame[name].cast(pl.String).to_list()
    return texts


def digest(text: str) -> str:
    """20 hex digits that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
