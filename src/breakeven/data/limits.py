"""What a reader may take: sizes, columns, kinds of files. Checked before anything is decoded."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from pathlib import Path

from breakeven.errors import DataError, EnvironmentFault, Place, message

MB = 1_000_000
TIMES = 4  # memory that reading a table of text takes at most, in sizes of its file; measured in bench/collect_csv.py


@dataclass(frozen=True)
class Limits:
    """The stated budget of one source. `memory_mb` bounds what reading holds at once, `TIMES` the file."""

    memory_mb: int = 4_000
    max_columns: int = 2_000
    max_cell_mb: float = 10.0
    max_mb: int = 1_000

    @property
    def cell_bytes(self) -> int:
        """The largest cell, in bytes."""
        return int(self.max_cell_mb * MB)


_KINDS = (
    (stat.S_ISFIFO, "kind-pipe"),
    (stat.S_ISCHR, "kind-character-device"),
    (stat.S_ISBLK, "kind-block-device"),
    (stat.S_ISSOCK, "kind-socket"),
)


def regular(path: Path, *, folder: bool = False) -> Path:
    """`path` when it is a regular file (or a folder, where asked for); never opens it, so never hangs."""
    place = Place(file=str(path))
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise DataError("source-name-long", at=place) from error
        if error.errno == errno.ELOOP:
            raise DataError("source-link-loop", at=place) from error
        if path.is_symlink():
            raise DataError("source-broken-link", at=place, target=str(path.readlink())) from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise DataError("source-missing", at=place) from error
        raise EnvironmentFault("file-unreadable", at=place, reason=error.strerror or str(error)) from error
    for test, kind in _KINDS:
        if test(mode):
            raise DataError("source-not-a-file", at=place, kind=message(kind))
    if stat.S_ISDIR(mode) != folder:
        raise DataError("source-is-a-folder" if stat.S_ISDIR(mode) else "source-not-a-folder", at=place)
    return path


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False for whatever the system will not say."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_bytes(path: Path, limits: Limits) -> bytes:
    """The content of a regular file within the limits."""
    # The size is asked for before anything is read; the read is bounded all the same, for a file may grow.
    check_size(regular(path).stat().st_size, str(path), limits)
    try:
        with path.open("rb") as stream:
            data = stream.read(limits.max_mb * MB + 1)
    except OSError as error:
        raise EnvironmentFault(
            "file-unreadable", at=Place(file=str(path)), reason=error.strerror or str(error)
        ) from error
    check_size(len(data), str(path), limits)
    return data


def check_size(size: int, name: str, limits: Limits, *, times: int = TIMES) -> None:
    """Refuses what is larger than the file limit or would not fit the memory budget; reading takes `times` the file."""
    if size > limits.max_mb * MB:
        raise DataError("source-too-large", at=Place(file=name), limit=limits.max_mb)
    if size * times > limits.memory_mb * MB:
        raise DataError("source-over-memory", at=Place(file=name), need=size * times // MB, budget=limits.memory_mb)


def check_columns(count: int, name: str, limits: Limits) -> None:
    """Refuses a table with more columns than the limit."""
    if count > limits.max_columns:
        raise DataError("source-too-many-columns", at=Place(file=name, line=1), found=count, limit=limits.max_columns)
