"""Finds English sentences in what should be Chinese: runs of plain lower-case words, and the share of such words."""

from __future__ import annotations

import re

# What may be English in Chinese text: commands, code, names of keys and files, codes, addresses, identifiers, hashes.
CODE = re.compile(
    r"`[^`]*`"  # code
    r"|(?:cd|breakeven|pip|export|curl|chmod|kill|model_signing|docker) [^，。；（）“”\n]*"  # commands
    r"|https?://\S+"
    r"|[\w.+~-]*[\w]*[./\\_=@:{}\[\]<>#$%-][^\s，。；：、（）“”]*"  # dotted, hyphened, bracketed: keys, paths, options
    r"|\b\w*\d\w*\b"  # with a figure in it
    r"|\b[A-Z][\w.+-]*(?: [A-Z][\w.+-]*)*\b"  # names and abbreviations: Open Cap Format, CPU, JSON
)
WORD = re.compile(r"[a-z]{2,}(?:'[a-z]+)?")
RUN = re.compile(rf"{WORD.pattern}(?: {WORD.pattern})+")
# Names of candidates, classes, meters, columns and machines that are shown, and what Chinese writes in English.
NAMES = frozenset(
    [
        "majority",
        "linear",
        "frozen",
        "naive",
        "bayes",
        "small",
        "medium",
        "positive",
        "negative",
        "answers",
        "text",
        "label",
        "sha",
        "pypi",
        "ok",
        "json",
        "html",
        "csv",
        "parquet",
        "python",
        "sqlite",
        "torch",
        "sklearn",
        "transformers",
        "peft",
        "onnxruntime",
        "fastexcel",
        "psycopg",
        "reference",
        "predict",
        "feedback",
        "usage",
        "server",
        "command",
        "low",
        "mode",
        "high",
        "mean",
        "sd",
        "median",
        "none",
        "per",
        "month",
        "good",
        "bad",
        "yes",
        "no",
        "zh",
        "en",
        "me",
        "acme",
        "demo",
        "run",
        "release",
        "evaluate",
        "business",
    ]
)
HAN = re.compile("[\u4e00-\u9fff]")


def plain(text: str) -> str:
    """The text without code, identifiers and names."""
    return CODE.sub("·", text)


def english(text: str) -> list[str]:
    """Runs of two and more English words that nothing excuses, with the line they stand in."""
    found = []
    for line in text.splitlines():
        for run in RUN.findall(plain(line)):
            if not set(run.split()) <= NAMES:
                found.append(f"{run!r} in: {line.strip()[:160]}")
    return found


def share(text: str) -> float:
    """English words among all words, a Chinese sign counted as half a word."""
    words = [word for word in WORD.findall(plain(text)) if word not in NAMES]
    return len(words) / max(len(words) + len(HAN.findall(text)) / 2, 1)
