"""Sources that are not files of the project: addresses, databases, packages; and their snapshots."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import polars as pl
import pytest

from breakeven.data import archives, packages
from breakeven.data.limits import Limits
from breakeven.data.snapshots import Snapshots
from breakeven.data.sources import Source, of_text
from breakeven.data.web import Web, check_address, shown
from breakeven.errors import DataError, EnvironmentFault, IntegrityError
from tests.data.folder import Folder

CSV = b"text,label\nfine,good\npoor,bad\n"
Answer = Callable[[httpx.Request], httpx.Response]


def web(answer: Answer, *, addresses: tuple[str, ...] = ("93.184.216.34",), **options: object) -> Web:
    return Web(
        transport=httpx.MockTransport(answer), resolve=lambda host, port: list(addresses), wait_seconds=0, **options
    )


def test_the_checked_address_is_the_one_that_is_called() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=CSV)

    assert web(answer).get("https://data.example/x.csv?key=1")[0] == CSV
    assert (seen[0].url.host, seen[0].headers["host"], seen[0].extensions["sni_hostname"]) == (
        "93.184.216.34", "data.example", "data.example")  # fmt: skip


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fe80::1",
                                     "fd00::1", "0.0.0.0", "::ffff:10.0.0.1", "224.0.0.1", "100.64.0.1"])  # fmt: skip
def test_private_addresses_are_refused_unless_allowed(address: str) -> None:
    fine = lambda request: httpx.Response(200, content=CSV)  # noqa: E731
    with pytest.raises(DataError, match=r"leads to .*, which is not on the public internet; .*allow_private"):
        web(fine, addresses=("93.184.216.34", address)).get("https://inside.example/")
    assert web(fine, addresses=(address,), allow_private=True).get("https://inside.example/")[0] == CSV


def test_a_redirect_inwards_is_refused() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "http://127.0.0.1/secret"})

    with pytest.raises(DataError, match=r"leads to 127.0.0.1"):
        web(answer).get("http://data.example/")


@pytest.mark.parametrize(("answer", "words"), [
    (lambda request: httpx.Response(302, headers={"location": "/again"}), "redirects more than 5 times"),
    (lambda request: httpx.Response(302, headers={"location": "http://data.example/"}), "redirects from https to"),
    (lambda request: httpx.Response(404), "answered with status 404"),
    (lambda request: httpx.Response(200, content=b"x" * 2_000_000), "sends more than 1 MB"),
    (lambda request: httpx.Response(302, headers={"location": "ftp://data.example/"}), "redirects from https"),
])  # fmt: skip
def test_answers_that_are_not_taken(answer: Answer, words: str) -> None:
    with pytest.raises((DataError, EnvironmentFault), match=words):
        web(answer, max_mb=1).get("https://data.example/")


def test_a_failing_server_is_tried_again_then_named() -> None:
    tries: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        if len(tries) < 3:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=CSV)

    assert web(answer).get("https://data.example/")[0] == CSV
    tries.append(-99)
    broken = lambda request: (_ for _ in ()).throw(httpx.ConnectError("refused"))  # noqa: E731
    with pytest.raises(EnvironmentFault, match=r"cannot be fetched: refused; check the network"):
        web(broken).get("https://data.example/")


def test_a_slow_answer_ends_at_the_deadline() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with pytest.raises(EnvironmentFault, match=r"did not answer within 0.2 seconds"):
        web(answer, timeout_seconds=0.2).get("https://data.example/")


def test_words_hold_no_password_and_no_query() -> None:
    assert shown("https://me:secret@data.example/x?token=1") == "https://data.example/x"
    assert of_text("https://me:secret@data.example/x?token=1").location == "https://data.example/x"
    with pytest.raises(DataError, match=r"https://data.example/x: leads to"):
        check_address("127.0.0.1", "https://me:secret@data.example/x?token=1")


class Pages:
    """A web that answers from a table of addresses and counts."""

    def __init__(self, body: bytes) -> None:
        self.body, self.asked = body, 0

    def __call__(self, **options: object) -> Web:
        return web(self.answer, **options)  # type: ignore[arg-type]

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(200, content=self.body, headers={"etag": '"1"'})


def test_a_snapshot_is_read_once_and_again_only_on_refresh(tmp_path: Path) -> None:
    pages, source = Pages(CSV), of_text("https://data.example/x.csv")
    kept = Snapshots(tmp_path, web=pages)
    first, stamp = kept.data(source, Limits())
    assert (first, stamp["sha256"]) == (CSV, hashlib.sha256(CSV).hexdigest())
    pages.body = CSV + b"new,good\n"
    assert kept.data(source, Limits())[0] == CSV
    assert pages.asked == 1
    assert replace(kept, refresh=True).data(source, Limits())[0] == pages.body
    assert kept.digest(source) == hashlib.sha256(pages.body).hexdigest()


def test_a_web_page_is_not_taken_for_a_table(tmp_path: Path) -> None:
    page = lambda request: httpx.Response(200, html="<html>sign in</html>")  # noqa: E731
    with pytest.raises(DataError, match=r"is a web page, not a table"):
        Snapshots(tmp_path, web=lambda **options: web(page)).data(of_text("https://data.example/x.csv"), Limits())


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("create table reviews (text text, label text, big numeric)")
    rows = [(f"number {row} was quite {'nice' if row % 2 else 'awful'}", "ab"[row % 2], row) for row in range(5)]
    connection.executemany("insert into reviews values (?, ?, ?)", rows)
    connection.commit()
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    return connection


def test_sql_is_a_snapshot_until_a_refresh_finds_other_rows(tmp_path: Path, database: sqlite3.Connection) -> None:
    folder = Folder(tmp_path, {"source": {"url_env": "SHOP_URL", "query": "select * from reviews"}}).run("collect")
    assert folder.table().height == 5
    assert folder.plan()[0].state == "fresh"
    assert folder.plan(refresh=True)[0].state == "fresh", "the same rows again change nothing"
    database.execute("insert into reviews values ('more', 'a', 6)")
    database.commit()
    assert folder.plan()[0].state == "fresh"
    assert folder.run("collect", refresh=True).table().height == 6
    assert folder.plan()[0].state == "fresh"
    assert "SHOP_URL" in folder.card()["sources"][0]["location"]


@pytest.mark.parametrize(("query", "words"), [
    ("select * from nowhere", "the database refused: no such table"),
    ("select * from reviews where 1=0", "the query gave 0 rows"),
    ("delete from reviews", "gives no rows; expected a SELECT"),
    ("select text, text from reviews", "the name stands twice"),
])  # fmt: skip
@pytest.mark.usefixtures("database")
def test_queries_that_cannot_be_taken(tmp_path: Path, query: str, words: str) -> None:
    with pytest.raises((DataError, EnvironmentFault), match=words):
        Folder(tmp_path, {"source": {"url_env": "SHOP_URL", "query": query}}).run("collect")


ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) as x from n"


@pytest.mark.usefixtures("database")
@pytest.mark.timeout(10)
def test_a_query_without_end_is_stopped_at_its_limit(tmp_path: Path) -> None:
    source = {"url_env": "SHOP_URL", "query": ENDLESS, "timeout_seconds": 0.3}
    with pytest.raises(EnvironmentFault, match=r"SHOP_URL: did not answer within 0.3 seconds") as caught:
        Folder(tmp_path, {"source": source}).run("collect")
    assert caught.value.exit_code == 5


@pytest.mark.usefixtures("database")
def test_blocks_of_different_types_lose_no_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breakeven.data.snapshots._BLOCK", 1)
    query = "select 'a :b 5%' as text, 'x' as label, 9007199254740993 as n union all select 'c', 'y', 0.5"
    table = Folder(tmp_path, {"source": {"url_env": "SHOP_URL", "query": query}}).run("collect").table()
    assert table["n"].to_list() == ["9007199254740993", "0.5"]
    assert table["text"][0] == "a :b 5%"


@pytest.mark.usefixtures("database")
def test_a_query_beyond_the_memory_budget_is_stopped(tmp_path: Path) -> None:
    numbers = "with recursive n(x) as (select 1 union all select x + 1 from n limit 200000)"
    many = f"{numbers} select 'some text' as text, x as label from n"
    with pytest.raises(DataError, match=r"SHOP_URL: would take about \d+ MB of memory, the budget is 2 MB"):
        Folder(tmp_path, {"source": {"url_env": "SHOP_URL", "query": many}, "memory_mb": 2}).run("collect")


def test_a_statement_that_writes_is_rolled_back(tmp_path: Path, database: sqlite3.Connection) -> None:
    with pytest.raises(DataError, match=r"expected a SELECT"):
        Folder(tmp_path, {"source": {"url_env": "SHOP_URL", "query": "delete from reviews"}}).run("collect")
    assert database.execute("select count(*) from reviews").fetchone() == (5,)


def test_no_url_names_the_variable_and_never_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path, {"source": {"url_env": "NO_SUCH_URL", "query": "select 1"}})
    with pytest.raises(EnvironmentFault, match=r"the environment variable NO_SUCH_URL is not set"):
        folder.run("collect")
    monkeypatch.setenv("NO_SUCH_URL", "my secret")
    with pytest.raises(EnvironmentFault, match=r"does not hold a database URL") as caught:
        folder.run("collect")
    assert "secret" not in str(caught.value)


def tar(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def index(tmp_path: Path, archive: bytes, name: str = "toy-data-1.0.tar.gz") -> packages.Places:
    page = tmp_path / "simple" / "toy-data"
    page.mkdir(parents=True)
    (page / name).write_bytes(archive)
    (page / "index.html").write_text(f'<a href="{name}#sha256=00">{name}</a>')
    return packages.Places([(tmp_path / "simple").as_uri()])


def test_a_package_is_fetched_checked_and_cached(tmp_path: Path) -> None:
    archive = tar(x__data=CSV)
    wanted = packages.Package("toy_data==1.0", hashlib.sha256(archive).hexdigest(), "toy-data-1.0.tar.gz")
    places = index(tmp_path, archive)
    assert packages.fetch(wanted, Web(), cache=tmp_path / "cache", places=places) == archive
    assert packages.fetch(wanted, Web(), cache=tmp_path / "cache", places=packages.Places()) == archive


def test_another_archive_under_the_same_name_is_refused(tmp_path: Path) -> None:
    wanted = packages.Package("toy-data==1.0", "0" * 64)
    with pytest.raises(IntegrityError, match=r"expected 0{64}, as the recipe pins it; .*nothing was used") as caught:
        packages.fetch(wanted, Web(), cache=tmp_path / "cache", places=index(tmp_path, tar(x=CSV)))
    assert caught.value.exit_code == 4
    assert not (tmp_path / "cache").exists()


def test_offline_with_an_empty_cache_says_what_to_do(tmp_path: Path) -> None:
    refused = lambda request: (_ for _ in ()).throw(httpx.ConnectError("no route"))  # noqa: E731
    wanted = packages.Package("toy==1.0", "0" * 64)
    with pytest.raises(
        EnvironmentFault, match=r"not in the cache and could not be fetched: .*no route.*PIP_INDEX_URL"
    ) as caught:
        packages.fetch(wanted, web(refused), cache=tmp_path, places=packages.Places(["https://index.example/simple"]))
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


def test_an_index_page_is_read_in_both_of_its_forms() -> None:
    html = b'<a href="../../files/a-1.tar.gz#sha256=1">a</a><a>none</a>'
    base = "https://index.example/simple/a/"
    expected = {"a-1.tar.gz": "https://index.example/files/a-1.tar.gz"}
    assert packages.links(html, base) == expected
    page = {"files": [{"filename": "a-1.tar.gz", "url": "../../files/a-1.tar.gz"}]}
    assert packages.links(json.dumps(page).encode(), base) == expected


def test_npm_packages_come_from_the_registry(tmp_path: Path) -> None:
    archive = tar(package__data=CSV)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(".tgz"):
            return httpx.Response(200, content=archive)
        return httpx.Response(200, json={"versions": {"1.1.0": {"dist": {"tarball": "https://r.example/m-1.1.0.tgz"}}}})

    wanted = packages.Package("@a/m==1.1.0", hashlib.sha256(archive).hexdigest(), index="npm")
    assert packages.fetch(wanted, web(answer), cache=tmp_path, places=packages.Places(["https://r.example"])) == archive


def test_pips_own_configuration_names_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://one.example/simple\nfind-links = /wheels\n")
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert "https://one.example/simple" in packages.pip_places().indexes
    assert packages.pip_places().folders == ["/wheels"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://two.example/simple")
    assert "https://two.example/simple" in packages.pip_places().indexes
    assert "https://one.example/simple" not in packages.pip_places().indexes
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert packages.pip_places().indexes == []


def test_members_are_read_through_archives_in_archives() -> None:
    inner = tar(deep__data=CSV)
    assert archives.member(tar(outer=inner), "outer//deep/data", "x.tar.gz", Limits()) == CSV


def test_members_that_cannot_be_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("big", b"0" * 3_000_000)
    for data, member, words in [(tar(data=CSV), "date", "has no member 'date'; expected such as data"),
                                (buffer.getvalue(), "link", "is not a regular file"),
                                (b"nonsense", "x", "cannot be read"), (tar(data=CSV)[:40], "data", "cannot be read"),
                                (zipped.getvalue(), "big", "larger than 1 MB"),
                                (tar(a=b"0" * 2_000_000), "a", "larger than 1 MB"),
                                (tar(a=CSV), "a//b//c//d", "more than 3 archives")]:  # fmt: skip
        with pytest.raises(DataError, match=words):
            archives.member(data, member, "x.tar.gz", Limits(max_mb=1))


@pytest.mark.parametrize(("settings", "words"), [
    ({}, "exactly one of"), ({"path": "a", "url": "http://b"}, "exactly one of"), ({"url_env": "A"}, "go together"),
    ({"package": "a==1", "member": "x"}, "a pinned name==version, a sha256 and a member"),
    ({"path": "a", "header": False}, "needs columns"), ({"url": "file:///etc/passwd"}, "must begin with http"),
])  # fmt: skip
def test_a_source_says_what_it_lacks(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Source(**settings)


def test_several_sources_become_one_table_with_a_column_each_adds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nfine,good\n")
    (tmp_path / "b.csv").write_text("text,label,stars\npoor,bad,1\n")
    sources = {
        "web": {"path": "a.csv", "add": {"channel": "web"}},
        "shop": {"path": "b.csv", "add": {"channel": "shop"}},
    }
    table = Folder(tmp_path, {"sources": sources}).run("collect").table()
    assert table.select("text", "channel", "stars").rows() == [("fine", "web", None), ("poor", "shop", 1)]
    assert table["channel"].dtype == pl.String


def test_files_of_one_name_in_two_folders_count_both(tmp_path: Path) -> None:
    for place, row in (("a", "fine,good"), ("b", "poor,bad")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "data.csv").write_text(f"text,label\n{row}\n")
    folder = Folder(tmp_path, {"sources": {"a": "a/data.csv", "b": "b/data.csv"}}).run("collect")
    for place in ("a", "b"):
        (tmp_path / place / "data.csv").write_text("text,label\nother,good\n")
        assert folder.plan()[0].state == "stale"
        folder.run("collect")
        assert folder.plan()[0].state == "fresh"


def test_an_old_snapshot_is_read_anew(tmp_path: Path, database: sqlite3.Connection) -> None:
    source = {"url_env": "SHOP_URL", "query": "select * from reviews"}
    folder = Folder(tmp_path, {"source": source, "max_age": "1h"}).run("collect")
    database.execute("insert into reviews values ('more', 'a', 6)")
    database.commit()
    assert folder.plan()[0].state == "fresh"
    manifest = tmp_path / "artifacts" / "collect" / "manifest.json"
    data = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**data, "created": "2020-01-01T00:00:00+00:00"}))
    assert folder.plan()[0].why.startswith("snapshot: first -> older than 1h")
    assert folder.run("collect").table().height == 6
    assert folder.plan()[0].state == "fresh"
