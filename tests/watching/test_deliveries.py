"""Messages on their way: signed, in order, tried again, refused to private addresses; programs without our secrets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from breakeven.errors import BreakevenError, DataError, EnvironmentFault, UsageError
from breakeven.watching import delivery
from breakeven.watching.alerting import Alert, Change
from breakeven.watching.outbox import LONGEST_PAUSE, MOST_WAITING, Letter, Lost, Outbox
from breakeven.watching.settings import Receiver, Rule
from breakeven.watching.wording import body, message_id, said
from tests.watching.receiver import receiving

RULE = Rule.model_validate({"name": "errors", "watch": "error_share", "above": 0.05, "severity": "critical",
                            "description": "look at the log"})  # fmt: skip


def changes(*customers: str, status: Any = "firing") -> list[Change]:
    return [
        Change(status, Alert("errors", (("customer", name),), "firing", 0.2, 10, 10, 20, 10, 10), RULE)
        for name in customers
    ]


def hook(url: str, **more: Any) -> Receiver:
    return Receiver.model_validate({"url": url, "allow_private": True, "timeout": "2s", **more})


def send(receiver: Receiver, folder: Path, message: str = "alert_1") -> None:
    delivery.deliver(receiver, message, body("shop", RULE, "ops", changes("acme")), folder=folder)


def test_the_body_is_alertmanagers() -> None:
    said = body("shop", RULE, "ops", [*changes("acme"), *changes("beta", status="resolved")])
    assert set(said) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts"}  # fmt: skip
    assert (said["version"], said["status"], said["receiver"]) == ("4", "firing", "ops")
    assert said["commonLabels"] == {"alertname": "errors", "severity": "critical", "project": "shop"}
    first, second = said["alerts"]
    assert first["labels"]["customer"] == "acme" and first["endsAt"] == "0001-01-01T00:00:00Z"
    assert (second["status"], second["endsAt"]) == ("resolved", "1970-01-01T00:00:20.000Z")
    assert first["startsAt"] == "1970-01-01T00:00:10.000Z" and len(first["fingerprint"]) == 16
    assert (
        first["annotations"]["description"] == "look at the log" and "20%, above 5%" in first["annotations"]["summary"]
    )
    assert body("shop", RULE, "ops", changes(*map(str, range(700))))["truncatedAlerts"] == 200
    assert message_id(said, 1.0) == message_id(said, 1.0) != message_id(said, 2.0)


@pytest.mark.parametrize("secret", ["plain words", "whsec_" + base64.b64encode(b"k" * 24).decode()])
def test_a_webhook_is_signed_as_standard_webhooks_are(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_SECRET", secret)
    with receiving() as there:
        send(hook(there.url, secret_env="ALERT_SECRET"), tmp_path, "alert_7")
        ((headers, content),) = there.got
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"alert_7.{headers['webhook-timestamp']}.".encode() + content
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert (headers["webhook-id"], headers["content-type"]) == ("alert_7", "application/json")
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 10
    assert secret not in str(headers) and secret.encode() not in content


@pytest.mark.parametrize("status", [301, 307, 400, 404, 500])
def test_any_answer_but_a_2xx_is_a_failure_and_no_redirect_is_followed(status: int, tmp_path: Path) -> None:
    with receiving() as inside, receiving(answers=[status], location=inside.url) as there:
        with pytest.raises(EnvironmentFault, match=f"the answer was {status}"):
            send(hook(there.url), tmp_path)
        assert len(there.got) == 1 and inside.got == []


def test_private_addresses_are_refused_unless_it_is_stated(tmp_path: Path) -> None:
    with receiving() as there:
        with pytest.raises(DataError, match=r"127\.0\.0\.1"):
            send(hook(there.url, allow_private=False), tmp_path)
        local = there.url.replace("127.0.0.1", "localhost")
        with pytest.raises(DataError, match=r"127\.0\.0\.1|::1"):
            send(hook(local, allow_private=False), tmp_path)
        assert there.got == []
        send(hook(local), tmp_path)
        assert len(there.got) == 1


def test_a_slow_receiver_and_an_absent_one_are_said(tmp_path: Path) -> None:
    with receiving(pause=3.0) as there:
        began = time.monotonic()
        with pytest.raises(EnvironmentFault, match="1"):
            send(hook(there.url, timeout="1s"), tmp_path)
        assert time.monotonic() - began < 2.5
        url = there.url
    with pytest.raises(EnvironmentFault, match="refused"):
        send(hook(url), tmp_path)
    with pytest.raises(BreakevenError, match="nowhere"):
        send(hook("http://nowhere.invalid/x"), tmp_path)


def test_no_part_of_an_address_that_may_be_a_token_is_ever_said(tmp_path: Path) -> None:
    with receiving(answers=[500]) as there:
        token = there.url.replace("/hook", "/services/T0/s3cret?x=t0ken")
    for allowed in (True, False):
        with pytest.raises(BreakevenError, match=r"127\.0\.0\.1") as raised:
            send(hook(token, allow_private=allowed), tmp_path)
        assert "s3cret" not in str(raised.value) and "t0ken" not in str(raised.value.as_json())


def test_variables_are_checked_before_anything_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALERT_URL", "ALERT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EnvironmentFault, match="ops needs the environment variable ALERT_URL"):
        delivery.check("ops", Receiver.model_validate({"url_env": "ALERT_URL"}))
    monkeypatch.setenv("ALERT_SECRET", "whsec_not base64!")
    with pytest.raises(UsageError, match="ALERT_SECRET begins with whsec_") as raised:
        delivery.check("ops", hook("http://a.example", secret_env="ALERT_SECRET"))
    assert "not base64!" not in str(raised.value)


def test_a_command_gets_the_alert_and_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("PAGER_TOKEN", "token")
    program = "import json,os,sys; json.dump([json.load(sys.stdin), dict(os.environ), sys.argv], open('out','w'))"
    command = [sys.executable, "-c", program, "$HOME; rm -rf /"]
    send(Receiver.model_validate({"command": command, "environment": ["PAGER_TOKEN"]}), tmp_path)
    said, environment, arguments = json.loads((tmp_path / "out").read_text())
    assert said["alerts"][0]["labels"]["customer"] == "acme" and arguments[1] == "$HOME; rm -rf /"
    assert environment["PAGER_TOKEN"] == "token" and "DATABASE_PASSWORD" not in environment


def test_a_command_that_fails_hangs_or_is_not_there_is_said(tmp_path: Path) -> None:
    def run(command: list[str]) -> None:
        send(Receiver.model_validate({"command": command, "timeout": "1s"}), tmp_path)

    with pytest.raises(EnvironmentFault, match="left with 3: no pager"):
        run(["/bin/sh", "-c", "echo no pager >&2; exit 3"])
    with pytest.raises(EnvironmentFault, match="could not be started"):
        run(["/no/such/program"])
    with pytest.raises(EnvironmentFault, match="1"):
        run(["/bin/sh", "-c", f"(sleep 2; touch {tmp_path}/late) & sleep 30"])
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()  # what it started was ended with it
    run(["/bin/sh", "-c", "exec 0<&-"])  # one that reads nothing is none the worse


def test_a_command_is_done_when_it_ends_whatever_it_left_running(tmp_path: Path) -> None:
    """What it started may hold its standard error for hours; waiting for that would tell of the alert for ever."""
    began = time.monotonic()
    send(Receiver.model_validate({"command": ["/bin/sh", "-c", "sleep 4 & exit 0"], "timeout": "3s"}), tmp_path)
    with pytest.raises(EnvironmentFault, match="left with 4: no pager"):
        send(Receiver.model_validate({"command": ["/bin/sh", "-c", "sleep 4 & echo no pager >&2; exit 4"]}), tmp_path)
    assert time.monotonic() - began < 2.9


def test_a_receiver_that_sends_a_byte_now_and_then_is_hung_up_on(tmp_path: Path) -> None:
    there = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = there.accept()
        with connection, contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nx-word: " + b"a" * 100:
                connection.send(bytes([byte]))
                time.sleep(0.2)

    threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    with there, pytest.raises(EnvironmentFault, match=r"did not answer within 1\.0 seconds"):
        send(hook(f"http://127.0.0.1:{there.getsockname()[1]}/", timeout="1s"), tmp_path)
    assert time.monotonic() - began < 4


class Sent:
    """A sender that fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.ids: list[str] = []

    def __call__(self, receiver: str, message: str, said: Any) -> None:
        self.ids.append(message)
        if self.failures:
            self.failures -= 1
            raise EnvironmentFault("alerts-answered", status=500)


def letter(name: str, receiver: str = "ops", at: float = 0.0) -> Letter:
    return Letter(name, receiver, {"groupLabels": {"alertname": "x"}}, at, at)


def turn(box: Outbox, now: float) -> Lost | None:
    """One attempt, waited for."""
    box.begin(now)
    ended = box.wait(5)
    assert ended is not None
    return box.settle(*ended, now)


def test_messages_go_in_order_and_wait_longer_each_time() -> None:
    sent = Sent(failures=3)
    box = Outbox(sent, give_up=3600)
    box.put(letter("a"))
    box.put(letter("b"))
    pauses, now = [], 0.0
    for _ in range(3):
        turn(box, now)
        due = box.next_due()
        assert due is not None and sent.ids[-1] == "a"
        pauses.append(due - now)
        box.begin(due - 0.01)  # too early: nothing is tried
        now = due
    assert pauses == [1.0, 2.0, 4.0] and not box.busy
    turn(box, now)
    turn(box, now)
    assert sent.ids == ["a", "a", "a", "a", "b"] and box.letters == []
    box.put(letter("z"))
    box.letters[0].attempts = 5000
    sent.failures = 1
    turn(box, now)
    assert box.next_due() == now + LONGEST_PAUSE


def test_a_slow_receiver_holds_up_no_other() -> None:
    import threading

    release, sent = threading.Event(), list[str]()

    def send_one(receiver: str, message: str, said: Any) -> None:
        if receiver == "slow":
            release.wait(10)
        sent.append(message)

    box = Outbox(send_one, give_up=60)
    for name, receiver in (("a", "slow"), ("b", "slow"), ("c", "quick")):
        box.put(letter(name, receiver))
    box.begin(0)
    ended = box.wait(5)
    assert ended is not None and ended[0].id == "c" and box.busy
    box.settle(*ended, 0)
    box.begin(0)  # the slow one's second message waits for its first
    release.set()
    ended = box.wait(5)
    assert ended is not None and ended[0].id == "a"
    assert box.wait(0.2) is None and sent.count("a") == 1


def test_what_never_arrives_is_given_up_and_said() -> None:
    box = Outbox(Sent(failures=99), give_up=100)
    box.put(letter("a"))
    assert turn(box, 0.0) is None
    lost = turn(box, 101.0)
    assert lost is not None and lost.letter.id == "a" and box.letters == []


def test_a_box_is_bounded_and_survives_as_json() -> None:
    box = Outbox(Sent(), give_up=100)
    for place in range(MOST_WAITING + 5):
        box.put(letter(str(place)))
    assert len(box.letters) == MOST_WAITING and box.letters[0].id == "5"
    again = Outbox(Sent(), give_up=100)
    again.load(json.loads(json.dumps(box.as_json())), {"ops": None}, now=50.0)
    assert [one.id for one in again.letters] == [one.id for one in box.letters]
    again.load(box.as_json(), {"others": None}, now=50.0)
    assert again.letters == []


def test_a_sender_that_breaks_is_a_failed_attempt() -> None:
    def broken(receiver: str, message: str, said: Any) -> None:
        raise ZeroDivisionError("oops")

    box = Outbox(broken, give_up=100)
    box.put(letter("a"))
    turn(box, 0.0)
    assert box.letters[0].error == "ZeroDivisionError: oops"
    box.wake()
    assert box.wait(1) is None


def test_a_decision_that_is_followed_again_is_no_longer_refused_and_a_server_that_left_no_longer_watched() -> None:
    """Both are labels that are gone, and do not mean the same."""
    refused = Rule.model_validate({"name": "r", "watch": "decision_refused", "above": 0})
    down = Rule.model_validate({"name": "d", "watch": "server_down", "above": 0})
    over = Alert("r", (("code", "parity-missing"),), "inactive", None, 10, 10, 20, 10, 10)
    assert said(refused, over, resolved=True).startswith("no longer so: ")
    assert said(down, over, resolved=True).startswith("no longer watched: ")
