from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from breakeven.errors import DataError, IntegrityError
from breakeven.models.linear import Linear, LinearSettings
from breakeven.models.ngrams import characters, words
from breakeven.task import Cases

TEXT = st.text(alphabet="abZé 很好吃，.!\t\n-_5", max_size=40)


@given(TEXT)
def test_characters_are_scikit_learns_char_wb(text):
    theirs = CountVectorizer(analyzer="char_wb", ngram_range=(1, 4)).build_analyzer()
    assert sorted(characters(text, 1, 4)) == sorted(theirs(text))


@given(TEXT)
def test_words_are_scikit_learns_words(text):
    theirs = CountVectorizer(token_pattern=r"(?u)\w+", ngram_range=(1, 2)).build_analyzer()
    assert sorted(words(text, 1, 2)) == sorted(theirs(text))


def fitted(task, context, reviews, folder, **options):
    model = Linear(LinearSettings(**options), task)
    record = model.fit(*reviews, context)
    model.package(context.folder, folder, "reference", [])
    return record, model.load(folder, "reference", threads=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_equal_scikit_learns(task, context, reviews, tmp_path, classes):
    train, validation = reviews
    if classes == 3:
        train.targets = [("other" if number % 5 == 0 else label) for number, label in enumerate(train.targets)]
    _, predictor = fitted(task, context, (train, validation), tmp_path, strength=[4.0])
    kinds = [
        TfidfVectorizer(analyzer="word", token_pattern=r"(?u)\w+", ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2, sublinear_tf=True),
    ]
    features = np.hstack([kind.fit_transform(train.inputs).toarray() for kind in kinds])
    unseen = [*validation.inputs, "", "???", "unheard-of words ONLY", "很好 love love love it"]
    theirs = LogisticRegression(C=4.0, max_iter=1000, tol=1e-6).fit(features, train.targets)
    wanted = theirs.predict_proba(np.hstack([kind.transform(unseen).toarray() for kind in kinds]))
    own = np.array(predictor.predict(unseen))
    assert np.abs(own - wanted).max() < 0.01  # the solvers stop at different points
    assert own.argmax(1).tolist() == wanted.argmax(1).tolist()


def test_scorer_equals_the_vectorisers_on_the_same_weights(task, context, reviews, tmp_path):
    """The lean scorer against scikit-learn's own vectorisers with the very same coefficients: 1e-9."""
    from safetensors.numpy import load_file
    from sklearn.preprocessing import normalize

    _, predictor = fitted(task, context, reviews, tmp_path)
    arrays = load_file(tmp_path / "linear.safetensors")
    vocabularies = json.loads((tmp_path / "vocabulary.json").read_text())
    unseen = ["love love LOVE this", "质量很好吗", "", "slow slow delivery; no fun at all 12"]
    parts, start = [], 0
    for grams, options in zip(
        vocabularies,
        ({"token_pattern": r"(?u)\w+", "ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (1, 4)}),
        strict=True,
    ):
        counts = CountVectorizer(vocabulary=grams, **options).transform(unseen).toarray().astype(float)
        counts[counts > 0] = 1 + np.log(counts[counts > 0])
        parts.append(normalize(counts * arrays["idf"][start : start + len(grams)]))
        start += len(grams)
    scores = np.hstack(parts) @ arrays["coefficients"] + arrays["intercept"]
    wanted = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.abs(np.array(predictor.predict(unseen)) - wanted).max() < 1e-9


def test_learns_both_languages_and_says_how(task, context, reviews, tmp_path):
    record, predictor = fitted(task, context, reviews, tmp_path)
    probabilities = np.array(predictor.predict(["a lovely film", "boring, slow", "很好，满意", "很差，失望"]))
    assert probabilities.argmax(1).tolist() == [1, 0, 1, 0]
    assert np.allclose(probabilities.sum(1), 1)
    assert record["validation"]["accuracy"] == 1.0
    assert len(record["history"]) == 3


def test_answers_do_not_depend_on_company(task, context, reviews, tmp_path):
    _, predictor = fitted(task, context, reviews, tmp_path)
    texts = reviews[1].inputs
    assert predictor.predict(texts) == [predictor.predict([text])[0] for text in texts]


def test_the_same_seed_gives_the_same_bytes(task, tmp_path, reviews):
    from model_fakes import Fitting

    written = []
    for name in ("one", "two"):
        context = Fitting(tmp_path / name)
        Linear(LinearSettings(), task).fit(*reviews, context)
        written.append((context.folder / "linear.safetensors").read_bytes())
    assert written[0] == written[1]


def test_sizes_that_do_not_fit_are_refused(task, context, reviews, tmp_path):
    fitted(task, context, reviews, tmp_path)
    vocabularies = json.loads((tmp_path / "vocabulary.json").read_text())
    (tmp_path / "vocabulary.json").write_text(json.dumps([vocabularies[0][:-1], vocabularies[1]]))
    with pytest.raises(IntegrityError, match="does not hold the model"):
        Linear(LinearSettings(), task).load(tmp_path, "reference", threads=1)
    (tmp_path / "linear.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(IntegrityError, match="does not hold the model"):
        Linear(LinearSettings(), task).load(tmp_path, "reference", threads=1)


def test_a_label_only_validation_has_is_no_crash(task, context, reviews, tmp_path):
    train, validation = reviews
    validation.targets = ["new", *validation.targets[1:]]
    record, _ = fitted(task, context, (train, validation), tmp_path)
    assert 0 < record["validation"]["accuracy"] < 1


def test_tiny_tables_keep_rare_ngrams(task, context, tmp_path):
    train = Cases(["1", "2"], ["yes", "no"], ["y", "n"])
    _, predictor = fitted(task, context, (train, Cases([], [], [])), tmp_path)
    assert predictor.predict(["yes"])[0][1] > 0.5


def test_sentences_without_spaces_give_their_characters_alone(task, context, tmp_path):
    starts = {"good": "很好我喜欢", "bad": "坏了要退款"}
    labels = [("good", "bad")[number % 2] for number in range(120)]
    texts = [f"{starts[label]}{chr(0x4E00 + number)}" for number, label in enumerate(labels)]
    train = Cases([str(n) for n in range(120)], texts, labels)  # no "word" stands in two rows
    _, predictor = fitted(task, context, (train, train), tmp_path)
    assert json.loads((tmp_path / "vocabulary.json").read_text())[0] == []
    bad, good = predictor.predict(["坏了要退", "我很喜欢"])
    assert bad[0] > 0.8 and good[1] > 0.8


def test_rows_that_share_nothing_still_give_a_model(task, context, tmp_path):
    texts = [chr(0x4E00 + number) for number in range(120)]
    train = Cases([str(n) for n in range(120)], texts, [("good", "bad")[n % 2] for n in range(120)])
    _, predictor = fitted(task, context, (train, train), tmp_path, characters=[3, 3], words=[3, 3])
    assert sum(predictor.predict(["好"])[0]) == pytest.approx(1)


def test_texts_that_hold_nothing_are_a_data_error(task, context, tmp_path):
    train = Cases(["a", "b"], ["  ", "\t"], ["good", "bad"])
    with pytest.raises(DataError, match="none of the 2 training texts holds a letter"):
        fitted(task, context, (train, train), tmp_path)
