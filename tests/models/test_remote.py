"""The remote model against a real HTTP server on this machine that misbehaves on demand."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from model_fakes import plain_task
from pydantic import ValidationError

from breakeven.errors import EnvironmentFault, Refused
from breakeven.models.remote import Remote, RemoteSettings, label_in, token_count
from breakeven.models.remote_calls import Spending

PRICE = {"input_per_million": 1.0, "output_per_million": 2.0, "source": "the provider's page", "as_of": "2026-01-02"}


class Api(ThreadingHTTPServer):
    """Answers 'good' to texts with 'love' in them, else 'bad'; `script` holds what the next calls get instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[object] = []
        self.seen: list[dict] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()
        self.go = threading.Event()  # what calls that hang wait for

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.seen.append(body)
            self.server.keys.append(self.headers["authorization"])
            act = self.server.script.pop(0) if self.server.script else None
        text = body["messages"][-1]["content"]
        answer = {
            "choices": [{"message": {"content": "good" if "love" in text else "bad"}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 1},
        }
        if act == "html":
            return self.give(200, b"<html>sign in</html>", "text/html")
        if act == "short":
            return self.give(200, json.dumps(answer).encode()[:20], lie=5000)
        if act == "hang":
            self.server.go.wait(30)
        if act == "chatter":
            answer["choices"][0]["message"]["content"] = "I would rather not say."
        if isinstance(act, int):
            return self.give(act, b"{}")
        return self.give(200, json.dumps(answer).encode())

    def give(self, status: int, body: bytes, kind: str = "application/json", lie: int = 0) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(lie or len(body)))
        if status == 302:
            self.send_header("location", "http://127.0.0.1:9/")
        if status == 429:
            self.send_header("retry-after", "0.01")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def api():
    server = Api()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def asked(api, context, reviews, tmp_path, monkeypatch):
    monkeypatch.setenv("BREAKEVEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("THE_KEY", "sk-test")

    def build(**changes):
        settings = {
            "url": api.url,
            "api_model": "m",
            "api_key_env": "THE_KEY",
            "price": PRICE,
            "spend_cap": 1.0,
            "timeout_seconds": 5,
            "retries": 2,
            **changes,
        }
        model = Remote(RemoteSettings(**settings), plain_task())
        record = model.fit(*reviews, context)
        place = tmp_path / "package"
        place.mkdir(exist_ok=True)
        model.package(context.folder, place, "reference", [])
        return record, model.load(place, "reference", threads=1)

    return build


def test_labels_become_probabilities_in_order(api, asked):
    _, predictor = asked()
    answers = predictor.predict(["love it", "hate it", "love"])
    assert [max(range(2), key=one.__getitem__) for one in answers] == [1, 0, 1]
    assert all(sum(one) == pytest.approx(1) for one in answers)
    assert set(api.keys) == {"Bearer sk-test"}
    assert {body["model"] for body in api.seen} == {"m"}
    assert api.seen[0]["temperature"] == 0


def test_fitting_calls_nobody_and_states_the_quoted_price(api, asked, context):
    record, _ = asked()
    assert api.seen == []
    assert record["price_per_answer"]["source"] == "the provider's page"
    assert 5e-5 < record["price_per_answer"]["value"] < 5e-4
    assert [finding.code for finding in context.findings] == ["remote-leaves"]


@pytest.mark.parametrize("fault", [500, 503, 429, "short"])
def test_a_passing_fault_is_retried(api, asked, fault):
    api.script = [fault]
    _, predictor = asked()
    assert len(predictor.predict(["love it"])[0]) == 2
    assert len(api.seen) == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (["html"], "not a chat completion: <html>sign in"),
        (["short"] * 3, "gave no answer after 3 tries"),
        ([500] * 3, "gave no answer after 3 tries: status 500"),
        ([302], "gave no answer after 1 tries: status 302"),
        ([400], "gave no answer after 1 tries: status 400"),
        ([401], "refused the key"),
    ],
)
def test_a_lasting_fault_is_named_and_never_shows_the_key(api, asked, script, words):
    api.script = list(script)
    _, predictor = asked()
    with pytest.raises(EnvironmentFault, match=words) as caught:
        predictor.predict(["love it"])
    assert "sk-test" not in json.dumps(caught.value.as_json())


def test_a_slow_api_is_given_up_in_time(api, asked):
    api.script = ["hang"]
    _, predictor = asked(timeout_seconds=0.3)
    with pytest.raises(EnvironmentFault, match=r"nothing whole within 0\.3 s"):
        predictor.predict(["love it"])  # the server still hangs
    api.go.set()


def test_the_cap_stops_before_the_call_and_holds_over_runs(api, asked):
    _, predictor = asked(spend_cap=0.0006, concurrency=1)
    predictor.predict(["love"] * 3)
    assert Spending.of(predictor._calls._spending.path.parent, f"{api.url} m", 1).total() == pytest.approx(3 * 102e-6)
    with pytest.raises(Refused, match=r"spend cap of 0\.0006"):
        predictor.predict(["love"] * 10)
    calls = len(api.seen)
    _, again = asked(spend_cap=0.0006)
    with pytest.raises(Refused, match="spend cap"):
        again.predict(["love"] * 10)
    assert len(api.seen) - calls < 3


def test_an_answer_without_a_label_gets_the_training_rates(api, asked):
    api.script = ["chatter"]
    _, predictor = asked()
    assert predictor.predict(["love it"]) == [[0.5, 0.5]]
    assert predictor.unclear == 1


def test_a_missing_key_is_named(asked, monkeypatch):
    monkeypatch.delenv("THE_KEY")
    with pytest.raises(EnvironmentFault, match="THE_KEY holds no key"):
        asked()


@pytest.mark.parametrize(
    "url", ["http://example.com/v1", "https://user:pw@example.com", "ftp://x", "file:///etc/passwd"]
)
def test_addresses_that_would_leak_are_refused(url):
    with pytest.raises(ValidationError, match=r"an (https )?address"):
        RemoteSettings(url=url, api_model="m", price=PRICE, spend_cap=1)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("good", "good"),
        (' "Good". ', "good"),
        ("The label is: very good", "very good"),
        ("good or bad", None),
        ("", None),
    ],
)
def test_which_class_an_answer_names(said, label):
    assert label_in(said, ["good", "bad", "very good"]) == label


def test_tokens_of_both_scripts():
    assert token_count("a" * 40) == 11
    assert token_count("很好吃") == 4
