"""What this machine is and has installed, as far as it decides how fast and how exactly a package answers."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breakeven.artifacts import fingerprint

ISA = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
    "sve",
)


@functools.cache
def _description() -> dict[str, Any]:
    text = _read(Path("/proc/cpuinfo"))
    described = {
        "cpu": _cpu_model(text),
        "cores": os.cpu_count() or 1,
        "memory_gb": _memory_gb(),
        "isa": _flags(text),
        "gpu": _gpus(Path("/proc/driver/nvidia/gpus")),
        "machine": platform.machine(),
        "os": f"{platform.system()} {platform.release()}".strip(),
    }
    return {**described, "key": key(described)}


def hardware() -> dict[str, Any]:
    """`{cpu, cores, memory_gb, isa, gpu, machine, os, key}` of this machine; starts no program."""
    return dict(_description())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def key(described: dict[str, Any]) -> str:
    """A short stable name of what matters for speed and arithmetic: memory and kernel may change under it."""
    matters = {name: described.get(name) for name in ("cpu", "cores", "isa", "gpu", "machine")}
    words = re.findall(r"[a-z0-9]+", str(described.get("cpu", "")).lower())[:3]
    name = "-".join(words) or str(described.get("machine", "cpu"))
    gpu = "-gpu" if described.get("gpu") else ""
    return f"{name}-{described.get('cores')}c{gpu}-{fingerprint(matters)[:6]}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu_model(cpuinfo: str) -> str:
    for name in ("model name", "Model", "Hardware"):
        found = re.search(rf"^{name}\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine() or "unknown"


def _flags(cpuinfo: str) -> list[str]:
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    present = set(found.group(1).split()) if found else set()
    return [name for name in ISA if name in present]


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError):
        return None


def _gpus(folder: Path) -> list[str]:
    """Models of the NVIDIA cards that the driver lists."""
    if not folder.is_dir():
        return []
    texts = [_read(card / "information") for card in sorted(folder.iterdir())]
    found = [re.search(r"^Model:\s*(.+)$", text, re.MULTILINE) for text in texts]
    return [match.group(1).strip() for match in found if match]


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed versions of the named distributions; what is not installed is left out."""
    from breakeven import __version__

    ours = {"breakeven": __version__, "python": platform.python_version()}
    found = {name: _installed(name) for name in names} | ours
    return {name: version for name, version in sorted(found.items()) if version is not None}


@functools.cache
def _installed(name: str) -> str | None:
    """The version of a distribution, read once: its metadata is a page of text."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
