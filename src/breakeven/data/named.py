"""Persons and places in texts, counted by presidio over a spaCy model (extra `pii`). They are reported, never masked.

Only models that are installed here are used: left to itself, presidio would fetch one of 400 MB in the middle of a run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breakeven.errors import EnvironmentFault, Place, need_package

KINDS = ("PERSON", "LOCATION")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_SIZES = ("trf", "lg", "md", "sm")  # the last part of a model's name, the better first


def count(texts: Sequence[str], model: str | None = None) -> tuple[dict[str, int], int]:
    """(finds by kind, texts in a language that no model here reads). `model`: a name or path; None: what is installed.

    A text with Chinese characters is Chinese, any other is read by the other model.
    """
    engines = _engines(model)
    counted: Counter[str] = Counter()
    unread = 0
    for text in texts:
        language = "zh" if _CHINESE.search(text) else next((name for name in engines if name != "zh"), "")
        engine = engines.get(language)
        if engine is None:
            unread += 1
            continue
        found = engine.analyze(text=text, language=language, entities=list(KINDS))
        counted.update(item.entity_type.lower() for item in found)
    return dict(counted), unread


def _engines(model: str | None) -> dict[str, Any]:
    """Language -> presidio's engine over the model for it."""
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ModuleNotFoundError as error:
        raise need_package("presidio-analyzer", "pii", purpose="names and places in personal data") from error
    if model is not None and not (spacy.util.is_package(model) or Path(model).is_dir()):
        raise _missing(model, spacy)
    engines: dict[str, Any] = {}
    for name in [model] if model is not None else _installed(spacy):
        try:
            language = str(spacy.load(name).lang)
        except (OSError, ValueError) as error:
            raise _missing(name, spacy) from error
        if language not in engines:
            settings = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": name}]}
            engine = NlpEngineProvider(nlp_configuration=settings).create_engine()
            engines[language] = AnalyzerEngine(nlp_engine=engine, supported_languages=[language])
    if not engines:
        raise _missing("", spacy)
    return engines


def _installed(spacy: Any) -> list[str]:
    """spaCy's models as installed packages, the best of every language first."""
    names = sorted(spacy.util.get_installed_models())
    return sorted(
        names, key=lambda name: next((i for i, size in enumerate(_SIZES) if name.endswith(size)), len(_SIZES))
    )


def _missing(model: str, spacy: Any) -> EnvironmentFault:
    place = Place(field="process.personal_names")
    installed = sorted(spacy.util.get_installed_models())
    return EnvironmentFault("names-no-model", at=place, model=model or "-", installed=installed or "-")
