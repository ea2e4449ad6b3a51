"""Several releases behind one door: which of them answers, and that the answer is its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from breakeven.ledger import Ledger
from breakeven.serving.deployment import Deployment
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage


@pytest.fixture
def two(make: Callable[..., Caller]) -> Caller:
    """A caller over two releases, `echo` and `other`."""
    caller = make()
    first = caller.service.current
    other = Deployment(EchoPackage(), None, name="other", plan=first.plan, limits=first.limits)
    caller.service.served["other"] = other
    return caller


def test_a_request_may_name_its_release(two: Caller, ledger: Ledger) -> None:
    assert two.predict("a").json["model"] == "echo"
    found = two("POST", "/v1/predict", {"inputs": ["a"], "model": "other"})
    assert (found.status, found.json["model"]) == (200, "other")
    assert [event["model"] for event in ledger.events()] == ["echo", "other"]


def test_an_unknown_release_is_404_and_told_what_is_served(two: Caller, ledger: Ledger) -> None:
    found = two("POST", "/v1/predict", {"inputs": ["a"], "model": "gone"})
    assert (found.status, found.error["code"]) == (404, "model-not-found")
    assert "echo, other" in found.error["hint"]
    assert ledger.events() == []


def test_a_release_is_named_by_a_text(two: Caller) -> None:
    assert two("POST", "/v1/predict", {"inputs": ["a"], "model": 1}).error["param"] == "model"


def test_all_that_is_served_is_listed_and_answers_by_its_tensors(two: Caller) -> None:
    listed = two("GET", "/v1/models").json["data"]
    assert [model["id"] for model in listed] == ["echo", "other"]
    for model in listed:
        assert two("GET", f"/v2/models/{model['id']}/ready").json["ready"]
        assert two("GET", f"/v2/models/{model['id']}").json["name"] == model["id"]


def test_a_deployment_knows_who_holds_it(two: Caller) -> None:
    current = two.service.current
    with current:
        assert current.running == 1
    two.predict("a")
    two("POST", "/v1/predict", {"inputs": [1]})
    assert current.running == 0
