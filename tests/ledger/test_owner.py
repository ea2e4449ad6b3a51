from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.errors import Busy, InputError
from breakeven.ledger import Ledger, commands, open_ledger
from breakeven.ledger.owner import Desk, Lock


@pytest.fixture
def desk(ledger: Ledger) -> Iterator[Ledger]:
    opened = Desk(ledger, commands.COMMANDS)
    yield ledger
    opened.close()


def test_a_second_owner_is_told_who_the_first_is(ledger: Ledger, place: Path) -> None:
    with pytest.raises(Busy, match=r"owned by process \d+") as caught:
        open_ledger(place)
    assert caught.value.exit_code == 6


def test_commands_go_through_the_owner_and_hold_at_once(desk: Ledger, place: Path) -> None:
    made = commands.keys_create(place, "acme")
    assert desk.keys.check(made["secret"]).id == made["id"]
    commands.keys_revoke(place, made["id"])
    with pytest.raises(Exception, match="revoked"):
        desk.keys.check(made["secret"])
    assert [row["id"] for row in commands.keys_list(place, "acme")] == [made["id"]]
    assert commands.usage(place) == commands.events(place) == []
    assert commands.verify(place)["holds"]


def test_an_error_of_the_owner_arrives_as_itself(desk: Ledger, place: Path) -> None:
    with pytest.raises(InputError, match="no key 'nothing'"):
        commands.keys_revoke(place, "nothing")


def test_without_an_owner_a_command_takes_the_lock(place: Path) -> None:
    made = commands.keys_create(place, "acme", name="laptop")
    assert commands.keys_list(place)[0]["id"] == made["id"]
    assert "secret" not in commands.keys_list(place)[0]


@pytest.mark.slow
def test_an_owner_without_a_desk_is_busy(ledger: Ledger, place: Path) -> None:
    with pytest.raises(Busy, match="owned by process"):
        commands.usage(place)


def test_the_socket_is_only_ours(desk: Ledger, place: Path) -> None:
    sockets = list(place.parent.glob("*.sock"))
    assert sockets
    assert all(path.stat().st_mode & 0o077 == 0 for path in sockets)


def test_a_long_path_still_has_a_desk(tmp_path: Path) -> None:
    place = tmp_path / ("a" * 120) / "ledger.sqlite"
    with open_ledger(place) as ledger:
        desk = Desk(ledger, commands.COMMANDS)
        assert commands.customers_add(place, "acme")["name"] == "acme"
        desk.close()


@pytest.mark.slow
def test_the_lock_ends_with_its_process(place: Path) -> None:
    code = (
        "from breakeven.ledger import open_ledger\nimport os, signal\n"
        f"open_ledger({str(place)!r})\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert Lock.file(place).exists()
    with open_ledger(place) as ledger:
        assert ledger.verify()["holds"]
