import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.metrics.calibration import apply, fit, negative_log_likelihood, softmax


@functools.cache
def sample(n: int = 4000, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities and labels drawn from them."""
    rng = np.random.default_rng(seed)
    p = softmax(rng.normal(scale=1.5, size=(n, classes)))
    return p, (rng.random((n, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("sharpness", [0.4, 3.0])
def test_an_over_or_under_confident_model_is_set_right(sharpness: float) -> None:
    p, truth = sample()
    wrong = softmax(sharpness * np.log(p))
    found = fit(wrong, truth)
    assert found["temperature"] == pytest.approx(sharpness, rel=0.08)
    assert np.abs(apply(wrong, found) - p).mean() < 0.02
    assert found["nll_after"] == pytest.approx(negative_log_likelihood(p, truth), abs=0.002)


def test_a_shifted_model_gets_its_bias_back() -> None:
    p, truth = sample()
    shifted = softmax(np.log(p) + np.array([0.0, 1.0, -0.5]))
    found = fit(shifted, truth)
    assert np.array(found["bias"]) == pytest.approx([0.0, -1.0, 0.5], abs=0.12)


def test_few_rows_get_a_temperature_only() -> None:
    p, truth = sample(120)
    found = fit(softmax(3 * np.log(p)), truth)
    assert found["bias"] == [0.0, 0.0, 0.0] and found["temperature"] > 1.5


def test_a_calibrated_model_is_hardly_touched() -> None:
    p, truth = sample()
    found = fit(p, truth)
    assert np.abs(apply(p, found) - p).mean() < 0.01


@pytest.mark.parametrize("truth", [[0, 0, 0], [1]])
def test_one_class_calibrates_nothing(truth: list[int]) -> None:
    assert fit(np.full((len(truth), 2), 0.5), np.array(truth)) == {}


def test_zeros_and_ones_stay_finite() -> None:
    p = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]] * 10)
    truth = np.array([0, 1, 1, 1] * 10)
    found = fit(p, truth)
    assert np.isfinite(apply(p, found)).all() and found["nll_after"] < found["nll_before"]


@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_calibration_never_raises_the_loss_and_sums_to_one(seed: int, sharpness: float) -> None:
    p, truth = sample(300, 2, seed)
    wrong = softmax(sharpness * np.log(p))
    after = apply(wrong, fit(wrong, truth))
    assert after.sum(axis=1) == pytest.approx(np.ones(300))
    assert negative_log_likelihood(after, truth) <= negative_log_likelihood(wrong, truth) + 1e-9
