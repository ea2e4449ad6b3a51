from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import InputError, Refused
from breakeven.ledger import Ledger, clock, open_ledger
from breakeven.ledger.keys import new_secret, well_formed


def moment(seconds: float) -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)).isoformat()


def test_a_key_is_shown_once_and_found_again(ledger: Ledger) -> None:
    ledger.customers.add("acme")
    secret, made = ledger.keys.create("acme", name="first")
    found = ledger.keys.check(secret)
    assert (found.id, found.customer, found.scopes) == (made.id, made.customer, {"predict", "feedback", "usage"})
    assert ledger.keys.remembered(secret) == found
    assert found.as_json()["ends_with"] == secret[-4:]


def test_the_secret_is_in_no_file(place: Path) -> None:
    with open_ledger(place) as ledger:
        ledger.customers.add("acme")
        secret, _ = ledger.keys.create("acme")
        ledger.keys.check(secret)
    middle = secret.split("_")[2].encode()
    for file in place.parent.iterdir():
        assert middle not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0, f"{file.name} is open to others"


def test_a_revoked_key_is_refused_at_once(ledger: Ledger) -> None:
    ledger.customers.add("acme")
    secret, key = ledger.keys.create("acme")
    ledger.keys.check(secret)
    ledger.keys.revoke(key.id)
    with pytest.raises(Refused, match="revoked"):
        ledger.keys.check(secret)
    again = ledger.keys.revoke(key.id)
    assert again.revoked is not None
    assert [row["action"] for row in ledger.audit()].count("key.revoke") == 1


@pytest.mark.parametrize(("limits", "words"), [({"expires": -1}, "expired"), ({"not_before": 60}, "valid from")])
def test_a_key_outside_its_time_is_refused(ledger: Ledger, limits: dict[str, float], words: str) -> None:
    ledger.customers.add("acme")
    secret, _ = ledger.keys.create("acme", **{name: moment(seconds) for name, seconds in limits.items()})
    with pytest.raises(Refused, match=words):
        ledger.keys.check(secret)


def test_a_remembered_key_expires_too(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.customers.add("acme")
    secret, _ = ledger.keys.create("acme", expires=moment(600))
    ledger.keys.check(secret)
    late = clock.now() + 601_000_000
    monkeypatch.setattr(clock, "now", lambda: late)
    with pytest.raises(Refused, match="expired"):
        ledger.keys.remembered(secret)


@pytest.mark.parametrize("secret", ["", "x", "bek_", "bek_12345678_" + "a" * 49, "é" * 68, "bek_" + "_" * 64])
def test_what_is_no_key_is_refused_without_a_look_up(ledger: Ledger, secret: str) -> None:
    with pytest.raises(Refused, match="not an API key"):
        ledger.keys.check(secret)


def test_an_unknown_key_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="no such API key"):
        ledger.keys.check(new_secret()[1])


@given(st.integers(0, 67), st.characters(codec="ascii", categories=["L", "N"]))
def test_one_wrong_character_breaks_the_checksum(place: int, letter: str) -> None:
    _, secret = new_secret()
    changed = secret[:place] + letter + secret[place + 1 :]
    assert well_formed(secret)
    assert well_formed(changed) == (changed == secret)


def test_an_unknown_scope_names_the_known_ones(ledger: Ledger) -> None:
    ledger.customers.add("acme")
    with pytest.raises(InputError, match="predict, feedback, usage, admin"):
        ledger.keys.create("acme", scopes=("root",))


def test_a_key_needs_a_customer(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="no customer 'nobody'"):
        ledger.keys.create("nobody")


def test_a_rotated_key_goes_on_for_the_overlap_and_no_longer(ledger: Ledger) -> None:
    ledger.customers.add("acme")
    before, old = ledger.keys.create("acme", name="laptop", scopes=("predict",))
    ledger.keys.check(before)
    secret, new, ended = ledger.keys.rotate(old.id, overlap=0.3)
    assert (new.replaces, new.name, new.scopes, new.customer) == (old.id, "laptop", old.scopes, old.customer)
    assert ledger.keys.check(before).id == old.id
    assert ledger.keys.check(secret).id == new.id
    assert ended.expires is not None
    __import__("time").sleep(0.31)
    with pytest.raises(Refused, match="expired"):
        ledger.keys.check(before)
    assert ledger.keys.check(secret).id == new.id
    with pytest.raises(Refused, match="expired"):
        ledger.keys.rotate(old.id)
    assert [row["action"] for row in ledger.audit()].count("key.rotate") == 1


def test_rotation_never_makes_an_old_key_last_longer(ledger: Ledger) -> None:
    ledger.customers.add("acme")
    _, old = ledger.keys.create("acme", expires=moment(60))
    _, _, ended = ledger.keys.rotate(old.id, overlap=3600)
    assert ended.expires == old.expires


def test_what_cannot_be_rotated_is_refused(ledger: Ledger) -> None:
    ledger.customers.add("acme")
    _, key = ledger.keys.create("acme")
    for overlap in (-1.0, float("nan"), 1e12):
        with pytest.raises(InputError, match="366 days"):
            ledger.keys.rotate(key.id, overlap=overlap)
    with pytest.raises(InputError, match="no key 'nothing'"):
        ledger.keys.rotate("nothing")
    ledger.keys.revoke(key.id)
    with pytest.raises(Refused, match="revoked"):
        ledger.keys.rotate(key.id)
