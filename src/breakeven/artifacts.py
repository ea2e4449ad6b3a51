"""What a step wrote, and from what: hashes, fingerprints, manifests and the store.

A step writes into a scratch folder; the store hashes every file into `manifest.json` and renames the folder once. A
killed run leaves the former artifact whole.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from breakeven.errors import Busy, EnvironmentFault, IntegrityError, Place

FORMAT = 1
MANIFEST = "manifest.json"
_ASIDE = ".old-"


def canonical(value: Any) -> str:
    """One JSON text for equal values: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> EnvironmentFault:
    """The error for a file that the system would not give us."""
    return EnvironmentFault("file-unreadable", at=Place(file=str(path)), reason=error.strerror or str(error))


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Writes a whole file or nothing: temporary file beside it, synced, renamed over it."""
    payload = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise EnvironmentFault(
            "file-unwritable", at=Place(file=str(path)), reason=error.strerror or str(error)
        ) from error


def write_json(path: Path, value: Any) -> None:
    """`value` as readable JSON, written atomically; NaN is an error."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """A JSON file of ours; a broken one is an integrity error, not a traceback."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError("artifact-broken", at=Place(file=str(path)), reason=str(error)) from error


@dataclass(frozen=True)
class Manifest:
    """What stands beside an artifact: its step, fingerprint, what went in, and a hash of every file that came out."""

    step: str
    fingerprint: str
    inputs: dict[str, Any]
    needs: dict[str, str]
    files: dict[str, dict[str, Any]]
    created: str
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder, None where there is none."""
        path = folder / MANIFEST
        if not path.is_file():
            return None
        data = read_json(path)
        found = data.get("format", FORMAT) if isinstance(data, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise IntegrityError("format-newer", at=Place(file=str(path)), found=found, known=FORMAT)
        try:
            return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data}).checked()
        except TypeError as error:
            raise IntegrityError("artifact-broken", at=Place(file=str(path)), reason=str(error)) from error

    def checked(self) -> Manifest:
        """Itself, if its parts have the shapes that every reader relies on; TypeError if not."""
        shapes = ((self.fingerprint, str), (self.inputs, dict), (self.needs, dict), (self.files, dict))
        if not all(isinstance(part, kind) for part, kind in shapes) or not all(
            isinstance(facts, dict) for facts in self.files.values()
        ):
            raise TypeError("a part of it has another shape")
        return self


def hash_tree(folder: Path, *, leave_out: tuple[str, ...] = (MANIFEST,)) -> dict[str, dict[str, Any]]:
    """`{relative path: {sha256, bytes}}` of every regular file below `folder`; anything else is refused."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise IntegrityError("artifact-not-a-file", at=Place(file=str(path)))
        if path.is_file() and relative not in leave_out:
            files[relative] = {"sha256": file_hash(path), "bytes": path.stat().st_size}
    return files


def verify_tree(
    folder: Path, files: Mapping[str, Mapping[str, Any]], *, leave_out: tuple[str, ...] = (MANIFEST,)
) -> None:
    """Raises IntegrityError unless the folder holds exactly `files` with those hashes."""
    found = hash_tree(folder, leave_out=leave_out)
    for name in sorted(set(found) | set(files)):
        if name not in files:
            raise IntegrityError("artifact-extra-file", at=Place(file=str(folder / name)))
        if name not in found:
            raise IntegrityError("artifact-missing-file", at=Place(file=str(folder / name)))
        if found[name]["sha256"] != files[name]["sha256"]:
            raise IntegrityError("artifact-changed-file", at=Place(file=str(folder / name)))


class HashCache:
    """Content hashes of local files, remembered by size, mtime and inode, so that planning reads nothing twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        if path.is_file():
            with contextlib.suppress(IntegrityError, EnvironmentFault):
                loaded = read_json(path)
                self._known = loaded if isinstance(loaded, dict) else {}

    def hash(self, path: Path) -> str:
        """The content hash of a file, or of a folder's files by name."""
        if path.is_dir():
            return fingerprint(
                {
                    item.relative_to(path).as_posix(): self.hash(item)
                    for item in sorted(path.rglob("*"))
                    if item.is_file()
                }
            )
        try:
            status = path.stat()
        except OSError as error:
            raise unreadable(path, error) from error
        identity = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known and known[:3] == identity:
            return str(known[3])
        digest = file_hash(path)
        self._known[str(path)] = [*identity, digest]
        self._changed = True
        return digest

    def learn(self, path: Path, digest: str) -> None:
        """Remembers the hash of a file that was just written, so that it is not read again to know it."""
        status = path.stat()
        self._known[str(path)] = [status.st_size, status.st_mtime_ns, status.st_ino, digest]
        self._changed = True

    def save(self) -> None:
        """Keeps what was learnt for the next process; files that are gone are forgotten."""
        if self._changed:
            self._known = {name: known for name, known in self._known.items() if Path(name).exists()}
            write_atomic(self._path, canonical(self._known))
            self._changed = False


class Store:
    """The artifacts of a project: one folder a step below `root`, plus a shared area keyed by fingerprint."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, step: str) -> Path:
        """Where a step's finished artifact lies."""
        return self.root.joinpath(*step.split("/"))

    def manifest(self, step: str) -> Manifest | None:
        """What is known of a step's artifact."""
        return Manifest.read(self.folder(step))

    def verify(self, step: str) -> None:
        """Reads a step's artifact in full: IntegrityError unless every file is as its manifest says."""
        manifest, place = self.manifest(step), self.folder(step)
        if manifest is None:
            raise IntegrityError("artifact-missing-file", at=Place(file=str(place / MANIFEST)))
        try:
            verify_tree(place, manifest.files)
        except IntegrityError as error:
            raise IntegrityError("artifact-edited", at=error.at, step=step, folder=str(place)) from error

    def checkpoints(self, step: str, digest: str) -> Path:
        """A folder that outlives a killed run of this very step and fingerprint."""
        return self.root / "checkpoints" / f"{step.replace('/', '-')}-{digest[:16]}"

    def shared(self, key: Mapping[str, Any]) -> Path:
        """Where a shared artifact with this key lies or will lie."""
        return self.root / "shared" / fingerprint(key)[:32]

    @contextlib.contextmanager
    def scratch(self, beside: Path) -> Iterator[Path]:
        """A folder on the same disk that becomes `beside` when the block ends well, and vanishes when it does not."""
        try:
            area = self.root / "scratch"
            area.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=area, prefix=f"{beside.name}."))
        except OSError as error:
            raise EnvironmentFault("file-unwritable", at=Place(file=str(self.root)), reason=error.strerror) from error
        try:
            yield folder
            beside.parent.mkdir(parents=True, exist_ok=True)
            replace_folder(folder, beside)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, scratch: Path, manifest: Manifest) -> None:
        """Writes the manifest of a finished scratch folder; called inside `scratch`."""
        write_json(scratch / MANIFEST, asdict(manifest))

    def clean(self) -> None:
        """Removes what killed runs left behind, and puts back an artifact that a kill left moved aside."""
        shutil.rmtree(self.root / "scratch", ignore_errors=True)
        for aside in [*self.root.glob(f".*{_ASIDE}*"), *self.root.glob(f"*/.*{_ASIDE}*")]:
            place = aside.with_name(aside.name[1:].split(_ASIDE)[0])
            if place.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.rename(aside, place)


def replace_folder(new: Path, old: Path) -> None:
    """Puts `new` in the place of `old`; the old one is moved aside first and removed last.

    A kill between the two renames leaves only the folder that was moved aside: `Store.clean` puts it back.
    """
    aside = None
    try:
        os.chmod(new, 0o700 if new.parent.stat().st_mode & 0o077 == 0 else 0o755)
        if old.exists():
            aside = old.with_name(f".{old.name}{_ASIDE}{os.getpid()}")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(old, aside)
        os.rename(new, old)
    except OSError as error:
        if aside is not None and aside.exists() and not old.exists():
            os.rename(aside, old)
        raise EnvironmentFault(
            "file-unwritable", at=Place(file=str(old)), reason=error.strerror or str(error)
        ) from error
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


def now() -> str:
    """The time as artifacts carry it: UTC, ISO 8601, seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def locked(path: Path, code: str) -> Iterator[None]:
    """Holds a lock file that ends with its process; a second holder gets Busy `code` with the first process id."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise EnvironmentFault("file-unwritable", at=Place(file=str(path)), reason=error.strerror) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(code, pid=os.read(handle, 32).decode().strip() or "unknown") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
