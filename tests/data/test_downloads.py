"""Downloads over real connections: pip's index, npm's registry, the hub of model weights, a proxy; whole and broken."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breakeven.data import packages
from breakeven.data.packages import Package
from breakeven.data.web import Web
from breakeven.errors import DataError, EnvironmentFault, IntegrityError
from tests.data.folder import Folder
from tests.data.loopback import Answer, Server, serving

CSV = b"text,label\nfine,good\npoor,bad\n"
ARCHIVE = b"an archive of some bytes " * 4000
PINNED = hashlib.sha256(ARCHIVE).hexdigest()
FILE = "/files/toy_data-1.0.tar.gz"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server, in an environment whose pip and npm are configured for it and for nothing else."""
    for name in list(os.environ):
        if name.lower().startswith(("pip_", "npm_config_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with serving() as found:
        monkeypatch.setenv("PIP_INDEX_URL", found.url + "/simple")
        monkeypatch.setenv("npm_config_registry", found.url + "/npm/")
        page = {"files": [{"filename": "toy_data-1.0.tar.gz", "url": "../.." + FILE}]}
        found.answers["/simple/toy-data/"] = Answer(json.dumps(page).encode())
        found.answers[FILE] = Answer(ARCHIVE)
        yield found


def fetched(tmp_path: Path, sha256: str = PINNED, name: str = "Toy.Data==1.0", **options: str) -> bytes:
    archive = {"archive": "toy_data-1.0.tar.gz", **options}
    return packages.fetch(Package(name, sha256, **archive), Web(wait_seconds=0), cache=tmp_path / "cache")


def test_pips_index_gives_the_pinned_file_once(server: Server, tmp_path: Path) -> None:
    assert fetched(tmp_path) == ARCHIVE
    server.answers["/simple/toy-data/"] = Answer(f'<a href="../..{FILE}#sha256=00">toy</a>'.encode())
    assert fetched(tmp_path) == ARCHIVE
    assert server.asked == ["/simple/toy-data/", FILE], "the second came from the cache"
    (tmp_path / "cache" / PINNED / "toy_data-1.0.tar.gz").write_bytes(b"spoiled")
    assert fetched(tmp_path) == ARCHIVE, "a spoiled cache is filled anew, this time by way of the HTML page"
    assert len(server.asked) == 4


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"expected 0{64}, as the recipe pins it") as caught:
        fetched(tmp_path, "0" * 64)
    assert caught.value.exit_code == 4
    assert not (tmp_path / "cache").exists()


def once_cut(count: int) -> Answer:
    return Answer(ARCHIVE, cut=1000 if count == 1 else None)


def test_a_file_cut_off_once_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.answers[FILE] = once_cut
    assert fetched(tmp_path) == ARCHIVE
    assert server.asked.count(FILE) == 2


Change = Callable[[Server], object]


@pytest.mark.parametrize(("change", "words"), [
    (lambda server: server.answers.pop("/simple/toy-data/"), "answered with status 404"),
    (lambda server: server.answers.update({FILE: Answer(ARCHIVE, cut=1000)}), "cannot be fetched: peer closed"),
    (lambda server: server.answers.update({FILE: Answer(status=503)}), "answered with status 503"),
    (lambda server: server.answers.update({"/simple/toy-data/": Answer(b'{"files": 3}')}), "is not an index page"),
    (lambda server: server.answers.update({"/simple/toy-data/": Answer(b"<html>sign in</html>")}), "has no file"),
], ids=["404", "always cut off", "503", "no index", "a web page"])  # fmt: skip
def test_an_index_that_cannot_give_the_file_says_why(
    server: Server, tmp_path: Path, change: Change, words: str
) -> None:
    change(server)
    with pytest.raises(
        EnvironmentFault, match=rf"Toy.Data==1.0 .*could not be fetched: .*{words}.*PIP_INDEX_URL"
    ) as caught:
        fetched(tmp_path)
    assert caught.value.exit_code == 5
    assert not (tmp_path / "cache").exists()


def test_an_index_of_the_public_internet_leads_to_no_private_address(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.example/simple")
    inside = Answer(status=302, headers={"Location": server.url + "/secret"})
    server.answers["http://index.example/simple/toy-data/"] = inside
    with pytest.raises(EnvironmentFault, match=r"leads to 127.0.0.1, which is not on the public internet"):
        fetched(tmp_path)
    assert server.asked == ["http://index.example/simple/toy-data/"]


def test_npms_registry_gives_the_pinned_file(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"versions": {"1.0.0": {"dist": {"tarball": server.url + FILE}}}}
    server.answers["/npm/@toys%2fdata"] = Answer(json.dumps(about).encode())
    assert fetched(tmp_path, name="@toys/data==1.0.0", index="npm") == ARCHIVE
    with pytest.raises(EnvironmentFault, match=r"@toys/data==2.0.0 has no file"):
        fetched(tmp_path, "1" * 64, name="@toys/data==2.0.0", index="npm")
    server.answers["/scope/@toys%2fdata"] = server.answers["/npm/@toys%2fdata"]
    monkeypatch.setenv("SCOPED", server.url + "/scope")
    (tmp_path / ".npmrc").write_text('@toys:registry="${SCOPED}"\nregistry=http://nowhere.example\n')
    assert packages.npm_places("@toys/data").indexes == [server.url + "/scope"]
    assert packages.npm_places("data").indexes == [server.url + "/npm/"], "the environment comes before the file"


def test_without_configuration_the_tools_own_defaults_are_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.delenv("npm_config_registry")
    assert packages.pip_places().indexes == [packages.PYPI]
    assert packages.npm_places("data").indexes == [packages.NPM]


def test_a_table_comes_through_a_proxy(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://data.example/t.csv"] = Answer(CSV)
    assert Folder(tmp_path, {"source": "http://data.example/t.csv"}).run("collect").table().height == 2
    assert server.asked == ["http://data.example/t.csv"], "the proxy was asked, by the whole address"
    monkeypatch.setenv("no_proxy", "data.example")
    with pytest.raises(EnvironmentFault, match=r"the host 'data.example' is not known here"):
        Web(resolve=_unknown, wait_seconds=0).get("http://data.example/t.csv")


def _unknown(host: str, port: int) -> list[str]:
    raise OSError("Name or service not known")


def test_a_proxy_is_no_way_to_a_private_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://data.example/"] = Answer(status=302, headers={"Location": "http://10.0.0.7/secret"})
    with pytest.raises(DataError, match=r"http://10.0.0.7/secret: leads to 10.0.0.7"):
        Web().get("http://data.example/")


def test_loopback_is_refused_until_it_is_allowed(server: Server, tmp_path: Path) -> None:
    server.answers["/moved.csv"] = Answer(status=301, headers={"Location": "/t.csv"})
    server.answers["/t.csv"] = Answer(CSV, headers={"ETag": '"1"'})
    source = {"url": server.url + "/moved.csv"}
    with pytest.raises(DataError, match=r"leads to 127.0.0.1, .*allow_private: true"):
        Folder(tmp_path, {"source": source}).run("collect")
    assert server.asked == []
    assert Folder(tmp_path, {"source": source | {"allow_private": True}}).run("collect").table().height == 2


HUB = """
import sys
from pathlib import Path
from breakeven.errors import BreakevenError
from breakeven.training.weights import resolve
try:
    found = resolve(sys.argv[1], Path(sys.argv[2]))
    print(found.revision, found.licence, sorted(path.name for path in found.folder.iterdir() if path.is_file()))
except BreakevenError as error:
    print(type(error).__name__, error)
"""
COMMIT = "c" * 40
WEIGHTS = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "tokenizer.json": b"{}",
}


def _hub(server: Server, files: dict[str, bytes]) -> None:
    about = {"id": "me/tiny", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files],
             "cardData": {"license": "mit"}, "tags": [], "private": False}  # fmt: skip
    for path in ("/api/models/me/tiny", f"/api/models/me/tiny/revision/{COMMIT}", "/api/models/me/tiny/revision/main"):
        server.answers[path] = Answer(json.dumps(about).encode(), headers={"Content-Type": "application/json"})
    tree = [{"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in files.items()]  # fmt: skip
    for query in ("", "?recursive=true&expand=false", "?recursive=True&expand=False"):
        server.answers[f"/api/models/me/tiny/tree/{COMMIT}{query}"] = Answer(
            json.dumps(tree).encode(), headers={"Content-Type": "application/json"}
        )
    for name, data in files.items():
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        server.answers[f"/me/tiny/resolve/{COMMIT}/{name}"] = Answer(data, headers=headers)


def _resolved(server: Server, tmp_path: Path, name: str = "me/tiny") -> str:
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
                   "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "0"}  # fmt: skip
    command = [sys.executable, "-c", HUB, name, str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_hub_gives_weights_at_a_recorded_commit(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    _hub(server, WEIGHTS)
    files = [*WEIGHTS, "weights.json"]
    assert _resolved(server, tmp_path) == f"{COMMIT} mit {files}"
    before = len(server.asked)
    assert _resolved(server, tmp_path, f"me/tiny@{COMMIT}").startswith(COMMIT)
    assert not [path for path in server.asked[before:] if "/resolve/" in path], "nothing was fetched twice"


@pytest.mark.slow
def test_a_hub_without_the_files_or_the_model_says_so(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    assert _resolved(server, tmp_path, "me/none").startswith("EnvironmentFault")
    _hub(server, {name: data for name, data in WEIGHTS.items() if name != "tokenizer.json"})
    assert "tokenizer.json" in _resolved(server, tmp_path)
    _hub(server, WEIGHTS)
    path = f"/me/tiny/resolve/{COMMIT}/model.safetensors"
    cut = Answer(b"x" * 5000, headers={"X-Repo-Commit": COMMIT, "ETag": '"00"'}, cut=100)
    server.answers[path] = cut
    assert _resolved(server, tmp_path).startswith("EnvironmentFault")
    assert not list((tmp_path / "cache" / "weights").glob("me--tiny*"))
