"""Keys and signatures: the exact file set or nothing, and the stock command agrees."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.errors import BreakevenError, EnvironmentFault, IntegrityError, UsageError
from breakeven.packaging import signing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "signed"
    (place / "model").mkdir(parents=True)
    (place / "model" / "weights.safetensors").write_bytes(b"weights")
    (place / "model" / "empty.txt").write_bytes(b"")
    (place / "release.json").write_text("{}")
    return place


def public(key: Path) -> Path:
    return signing.public_path(key)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_a_key_is_secret_under_any_umask(tmp_path: Path, umask: int) -> None:
    key = tmp_path / f"{umask:o}.key"
    before = os.umask(umask)
    try:
        made = signing.make_key(key)
    finally:
        os.umask(before)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.stat().st_mode) == 0o644
    assert not signing.exposed(key)
    assert signing.check_key(key) == signing.key_id(made)


def test_a_key_is_never_overwritten(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        signing.make_key(key)
    public(key).unlink()
    with pytest.raises(UsageError, match="never overwritten"):
        signing.make_key(key)
    assert key.read_bytes() == before


def test_a_public_key_alone_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "release.pub").write_text("somebody's")
    with pytest.raises(UsageError, match=r"release\.pub: a key is already there"):
        signing.make_key(tmp_path / "release.key")
    assert not (tmp_path / "release.key").exists()
    assert (tmp_path / "release.pub").read_text() == "somebody's"


def test_a_key_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "release.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="never overwritten"):
        signing.make_key(tmp_path / "release.key")
    assert not (tmp_path / "elsewhere").exists()


def test_what_was_signed_verifies(folder: Path, key: Path) -> None:
    assert signing.sign(folder, key) == folder / "model.sig"
    digests = signing.verify(folder, public(key))
    assert set(digests) == {"model/weights.safetensors", "model/empty.txt", "release.json"}


def test_a_signed_folder_may_be_moved_and_renamed(folder: Path, key: Path, tmp_path: Path) -> None:
    signing.sign(folder, key)
    moved = folder.rename(tmp_path / "elsewhere")
    assert signing.verify(moved, public(key))


def add(folder: Path) -> None:
    (folder / "model" / "extra.json").write_text("{}")


def add_git(folder: Path) -> None:
    (folder / ".gitattributes").write_text("* filter=evil")


def remove(folder: Path) -> None:
    (folder / "model" / "empty.txt").unlink()


def change(folder: Path) -> None:
    (folder / "model" / "weights.safetensors").write_bytes(b"weightz")


def unsign(folder: Path) -> None:
    (folder / "model.sig").unlink()


def symlink(folder: Path) -> None:
    (folder / "model" / "empty.txt").unlink()
    (folder / "model" / "empty.txt").symlink_to("/dev/null")


def symlinked_folder(folder: Path) -> None:
    (folder / "model").rename(folder.parent / "outside")
    (folder / "model").symlink_to(folder.parent / "outside")


def hard_link(folder: Path) -> None:
    os.link(folder / "model" / "weights.safetensors", folder.parent / "same")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "model" / "pipe.json")


def odd_name(folder: Path) -> None:
    (folder / "model" / "new\nline.txt").write_text("")


def not_json(folder: Path) -> None:
    (folder / "model.sig").write_bytes(b"\xff\xfe not json")


def deep_json(folder: Path) -> None:
    (folder / "model.sig").write_text("[" * 100_000)


def huge(folder: Path) -> None:
    with (folder / "model.sig").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: takes no disk, and would take a terabyte of memory


def empty_bundle(folder: Path) -> None:
    (folder / "model.sig").write_text("{}")


def bundle(folder: Path) -> dict[str, object]:
    return json.loads((folder / "model.sig").read_text())


def forged_payload(folder: Path) -> None:
    """The payload lists the changed content, the signature is the old one."""
    change(folder)
    found = bundle(folder)
    payload = json.loads(base64.b64decode(found["dsseEnvelope"]["payload"]))
    import hashlib

    for item in payload["predicate"]["resources"]:
        item["digest"] = hashlib.sha256((folder / item["name"]).read_bytes()).hexdigest()
    found["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    (folder / "model.sig").write_text(json.dumps(found))


def no_signature_bytes(folder: Path) -> None:
    found = bundle(folder)
    found["dsseEnvelope"]["signatures"][0]["sig"] = ""
    (folder / "model.sig").write_text(json.dumps(found))


def no_envelope(folder: Path) -> None:
    found = bundle(folder)
    found["dsseEnvelope"]["signatures"] = []
    (folder / "model.sig").write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (add, "extra.json: is not in the manifest"),
        (add_git, "gitattributes: is not in the manifest"),
        (remove, "empty.txt: is in the manifest and not on the disk"),
        (change, "weights.safetensors: does not have the content"),
        (unsign, "is not signed"),
        (symlink, "is a link or a device"),
        (symlinked_folder, "is a link or a device"),
        (hard_link, "is a hard link"),
        (fifo, "is a link or a device"),
        (odd_name, "cannot be printed"),
        (not_json, "the signature does not hold"),
        (deep_json, "the signature does not hold"),
        (huge, "larger than 16777216 bytes"),
        (empty_bundle, "not a signature bundle"),
        (forged_payload, "the signature does not hold"),
        (no_signature_bytes, "the signature does not hold"),
        (no_envelope, "the signature does not hold"),
    ],
)
def test_anything_else_is_refused(folder: Path, key: Path, fault: Callable[[Path], None], words: str) -> None:
    signing.sign(folder, key)
    fault(folder)
    with pytest.raises(IntegrityError, match=words) as caught:
        signing.verify(folder, public(key))
    assert caught.value.exit_code == 4


def test_another_key_is_refused(folder: Path, key: Path, tmp_path: Path) -> None:
    signing.sign(folder, key)
    other = signing.make_key(tmp_path / "other.key")
    with pytest.raises(IntegrityError, match=r"signed by another key than other\.pub"):
        signing.verify(folder, other)


def test_another_key_under_the_right_hint_is_refused(folder: Path, key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    signing.make_key(other)
    signing.sign(folder, other)
    forged = bundle(folder)
    forged["verificationMaterial"]["publicKey"]["hint"] = signing.key_id(public(key))
    (folder / "model.sig").write_text(json.dumps(forged))
    with pytest.raises(IntegrityError, match="the signature does not hold"):
        signing.verify(folder, public(key))


def test_a_signature_that_leaves_files_out_is_refused(folder: Path, key: Path) -> None:
    from model_signing import hashing
    from model_signing import signing as stock

    config = hashing.Config().set_ignored_paths(paths=["model.sig", "release.json"], ignore_git_paths=False)
    stock.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(
        folder, folder / "model.sig"
    )
    with pytest.raises(IntegrityError, match=r"leaves files out: model\.sig, release\.json"):
        signing.verify(folder, public(key))


def test_signing_again_replaces_the_signature(folder: Path, key: Path) -> None:
    signing.sign(folder, key)
    add(folder)
    signing.sign(folder, key)
    assert "model/extra.json" in signing.verify(folder, public(key))


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_named(tmp_path: Path, folder: Path, content: bytes) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.key: is not a key that can sign"):
        signing.sign(folder, path)
    with pytest.raises(UsageError, match=r"bad\.key: is not a public key"):
        signing.verify(folder, path)


def test_a_key_on_another_curve_is_named(tmp_path: Path, folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    path = tmp_path / "p384.key"
    path.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    with pytest.raises(UsageError, match="another kind of key"):
        signing.sign(folder, path)
    other = tmp_path / "p384.pub"
    other.write_bytes(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(UsageError, match=r"p384\.pub: is not a public key: another kind"):
        signing.verify(folder, other)


def test_a_missing_key_names_the_command_that_makes_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        EnvironmentFault, match=r"make a new one \(python -m breakeven\.packaging\.signing .*nobody\.key"
    ):
        signing.sign(folder, tmp_path / "nobody.key")
    with pytest.raises(UsageError, match="there is no public key to trust"):
        signing.verify(folder, tmp_path / "nobody.pub")


def test_a_private_key_is_not_taken_for_a_public_one(folder: Path, key: Path) -> None:
    with pytest.raises(UsageError, match="is not a public key"):
        signing.verify(folder, key)


def test_the_secret_never_stands_in_an_error(folder: Path, key: Path) -> None:
    secret = key.read_text().splitlines()[1]
    with pytest.raises(BreakevenError) as caught:
        signing.verify(folder, key)
    assert secret not in str(caught.value)


@pytest.mark.slow
def test_the_stock_command_verifies_what_we_sign(folder: Path, key: Path) -> None:
    signing.sign(folder, key)
    stock = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command = [*stock, "--signature", str(folder / "model.sig"), "--public_key", str(public(key))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert (done.returncode, "Verification succeeded" in done.stdout) == (0, True), done.stdout + done.stderr
    change(folder)
    assert subprocess.run(command, capture_output=True, check=False, timeout=180).returncode != 0


@pytest.mark.slow
def test_a_key_can_be_made_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    command = [sys.executable, "-m", "breakeven.packaging.signing", str(path)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=180).returncode == 0
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert (again.returncode, "never overwritten" in again.stderr) == (2, True)
    alone = subprocess.run(command[:-1], capture_output=True, text=True, check=False, timeout=180)
    assert (alone.returncode, alone.stderr.startswith("usage:")) == (2, True)
