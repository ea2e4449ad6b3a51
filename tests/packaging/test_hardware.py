"""What a machine is called: stable where nothing that matters changed."""

from __future__ import annotations

from pathlib import Path

from breakeven.packaging import hardware as room

CPUINFO = "processor : 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"
ARM = "processor : 0\nFeatures : fp asimd bf16\nCPU part : 0xd4f\n"


def test_this_machine_has_a_key() -> None:
    found = room.hardware()
    assert found["key"] == room.key(found) and found["cores"] >= 1
    assert set(found) == {"cpu", "cores", "memory_gb", "isa", "gpu", "machine", "os", "key"}


def test_the_description_cannot_be_changed_by_its_reader() -> None:
    room.hardware()["key"] = "mine"
    assert room.hardware()["key"] != "mine"


def test_the_key_changes_with_what_decides_speed_and_arithmetic_alone() -> None:
    found = {
        "cpu": "AMD EPYC 9R14",
        "cores": 2,
        "isa": ["avx2"],
        "gpu": [],
        "machine": "x86_64",
        "memory_gb": 8.0,
        "os": "L",
    }
    key = room.key(found)
    assert key.startswith("amd-epyc-9r14-2c-")
    assert room.key({**found, "memory_gb": 16.0, "os": "Linux 7"}) == key
    for change in ({"cpu": "AMD EPYC 9R15"}, {"cores": 4}, {"isa": ["avx2", "amx_bf16"]}, {"gpu": ["NVIDIA H200"]}):
        assert room.key({**found, **change}) != key
    assert "-gpu-" in room.key({**found, "gpu": ["NVIDIA H200"]})


def test_cpu_and_flags_are_read_from_cpuinfo() -> None:
    assert room._cpu_model(CPUINFO) == "AMD EPYC 9R14"
    assert room._flags(CPUINFO) == ["avx2", "avx512f", "avx512_bf16"]
    assert room._flags(ARM) == ["asimd", "bf16"]
    assert room._flags("") == [] and room._cpu_model("")


def test_cards_are_read_from_the_driver(tmp_path: Path) -> None:
    for name, text in (("0000:01", "Model: \t\t NVIDIA H200\nIRQ: 5\n"), ("0000:02", "nothing")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "information").write_text(text)
    assert room._gpus(tmp_path) == ["NVIDIA H200"]
    assert room._gpus(tmp_path / "none") == []
