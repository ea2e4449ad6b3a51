"""One member read out of a package archive (tar or zip), in memory, within limits. Nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import tarfile

from breakeven.data.limits import MB, Limits
from breakeven.data.zips import BROKEN, opened
from breakeven.errors import DataError, Place

NESTING = 3


def member(data: bytes, path: str, name: str, limits: Limits) -> bytes:
    """The content of a member; `outer.tar.gz//inner.txt` enters an archive inside the archive."""
    steps = path.split("//")
    if len(steps) > NESTING:
        raise DataError("archive-nesting", at=Place(file=name), member=path, limit=NESTING)
    for step in steps:
        try:
            data = (_zip_member if data[:2] == b"PK" else _tar_member)(data, step, name, limits)
        except (tarfile.TarError, *BROKEN) as error:
            raise DataError("archive-broken", at=Place(file=name), member=step, reason=str(error)) from error
    return data


def _tar_member(data: bytes, path: str, name: str, limits: Limits) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
        total = 0
        for item in archive:
            total += item.size
            # A header may lie about sizes; stopping here bounds what a bomb makes us inflate.
            if total > limits.max_mb * MB:
                raise DataError("source-too-large", at=Place(file=name), limit=limits.max_mb)
            if item.name.removeprefix("./") == path:
                stream = archive.extractfile(item) if item.isreg() else None
                if stream is None:
                    raise DataError("archive-not-a-file", at=Place(file=name), member=path)
                return stream.read()
        names = archive.getnames()
    raise DataError("archive-no-member", at=Place(file=name), member=path, names=_near(path, names))


def _zip_member(data: bytes, path: str, name: str, limits: Limits) -> bytes:
    archive = opened(data, name)
    if path not in archive.members:
        raise DataError("archive-no-member", at=Place(file=name), member=path, names=_near(path, list(archive.members)))
    return archive.read(path, limits.max_mb * MB)


def _near(path: str, names: list[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(path, names, 5, 0.3) or names[:5]
