"""Keys, signatures and their verification, in the OpenSSF model-signing format.

A signature covers the exact set of files of a folder: one more, one less or one byte changed and it does not hold. The
stock command `model_signing verify key` accepts what `sign` writes; `verify` is stricter than it (no links, no ignored
paths). What is not covered: who may use a key, and files swapped between verification and loading.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import unreadable
from breakeven.errors import BreakevenError, EnvironmentFault, IntegrityError, Place, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

SIGNATURE = "model.sig"
MAX_SIGNATURE_BYTES = 16 * 1024 * 1024
MAX_KEY_BYTES = 64 * 1024


def public_path(key: Path) -> Path:
    """Where the public half of a private key stands: `release.key` -> `release.pub`."""
    return key.with_suffix(".pub")


def make_key(path: Path) -> Path:
    """Makes an ECDSA P-256 key pair (0600, public half 0644 beside it); returns the public path. Never overwrites."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = public_path(path)
    for taken in (path, public):
        if taken.exists() or taken.is_symlink():
            raise UsageError("key-exists", at=Place(file=str(taken)))
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    _create(path, secret, 0o600)
    _create(public, _public_pem(key.public_key()), 0o644)
    return public


def _create(path: Path, data: bytes, mode: int) -> None:
    # O_EXCL with the mode from the start: no moment in which another user could read it, whatever the umask is.
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        raise UsageError("key-exists", at=Place(file=str(path))) from error
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault("file-unwritable", at=Place(file=str(path)), reason=error.strerror or str(error))


def exposed(path: Path) -> bool:
    """Whether users other than the owner may read a private key."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def key_id(public_key: Path) -> str:
    """The SHA-256 (hex) of a public key's PEM, the hint that signatures carry."""
    import hashlib

    return hashlib.sha256(_public_pem(_load_public(public_key))).hexdigest()


def check_key(path: Path) -> str:
    """Raises unless `path` holds a private key that can sign; returns the id of its public half."""
    import hashlib

    return hashlib.sha256(_public_pem(_load_private(path).public_key())).hexdigest()


def _public_pem(key: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _load_private(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not path.is_file():
        raise EnvironmentFault("signing-key-missing", at=Place(file=str(path)), key=str(path))
    try:
        key = load_pem_private_key(_small(path), password=None)
    except (ValueError, TypeError) as error:
        raise UsageError("key-unusable", at=Place(file=str(path)), reason=_first_line(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("key-unusable", at=Place(file=str(path)), reason="another kind of key")
    return key


def _load_public(path: Path) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if not path.is_file():
        raise UsageError("trust-no-key", at=Place(file=str(path)))
    try:
        key = load_pem_public_key(_small(path))
    except ValueError as error:
        raise UsageError("trust-unusable", at=Place(file=str(path)), reason=_first_line(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("trust-unusable", at=Place(file=str(path)), reason="another kind of key")
    return key


def _small(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_KEY_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def sign(folder: Path, key: Path) -> Path:
    """Signs every file of `folder` with the private key at `key`; writes and returns `folder/model.sig`."""
    from model_signing import hashing, signing

    check_key(key)
    inspect_tree(folder)
    place = folder / SIGNATURE
    config = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    try:
        signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(folder, place)
    except OSError as error:
        raise _unwritable(place, error) from error
    return place


def verify(folder: Path, public_key: Path) -> dict[str, str]:
    """`{relative path: SHA-256}` of what is signed; IntegrityError unless folder, signature and key belong together."""
    from model_signing import hashing, verifying

    _load_public(public_key)
    inspect_tree(folder)
    place = folder / SIGNATURE
    if not place.is_file():
        raise IntegrityError("signature-missing", at=Place(file=str(folder)))
    statement = _statement(place)
    if statement["hint"] != key_id(public_key):
        raise IntegrityError("signature-other-key", at=Place(file=str(place)), key=public_key.name)
    config = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key).set_hashing_config(config)
    try:
        verifier.verify(folder, place)
    except OSError as error:
        raise unreadable(folder, error) from error
    except Exception as error:
        # Whatever a hostile bundle makes the library raise, the answer is the same: it does not hold.
        raise _mismatch(folder, statement["files"], error) from error
    if statement["ignored"] - {SIGNATURE}:
        raise IntegrityError("signature-ignores", at=Place(file=str(place)), paths=sorted(statement["ignored"]))
    return dict(statement["files"])


def _mismatch(folder: Path, signed: Mapping[str, str], error: Exception) -> IntegrityError:
    """The most exact error that the difference between folder and statement allows."""
    from breakeven.artifacts import verify_tree

    if isinstance(error, ValueError) and "mismatch" in str(error).lower():
        try:
            verify_tree(folder, {name: {"sha256": digest} for name, digest in signed.items()}, leave_out=(SIGNATURE,))
        except IntegrityError as exact:
            return exact
        except BreakevenError:
            pass
    return IntegrityError("signature-broken", at=Place(file=str(folder / SIGNATURE)), reason=_first_line(error))


def _statement(place: Path) -> dict[str, Any]:
    """What a bundle claims, not yet verified: key hint, files and ignored paths."""
    try:
        if place.stat().st_size > MAX_SIGNATURE_BYTES:
            raise ValueError(f"larger than {MAX_SIGNATURE_BYTES} bytes")
        bundle = json.loads(place.read_text(encoding="utf-8"))
        payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        predicate = payload["predicate"]
        return {
            "hint": bundle["verificationMaterial"]["publicKey"]["hint"],
            "files": {item["name"]: item["digest"] for item in predicate["resources"]},
            "ignored": set(predicate["serialization"].get("ignore_paths", [])),
        }
    except OSError as error:
        raise unreadable(place, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        reason = _first_line(error) if isinstance(error, ValueError) else "not a signature bundle"
        raise IntegrityError("signature-broken", at=Place(file=str(place)), reason=reason) from error


def inspect_tree(folder: Path) -> list[Path]:
    """Every file below `folder`; links (hard ones too), devices and unprintable names raise IntegrityError."""
    if folder.is_symlink() or not folder.is_dir():
        raise IntegrityError("artifact-not-a-folder", at=Place(file=str(folder)))
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except OSError as error:
            raise unreadable(folder, error) from error
        for entry in entries:
            path = Path(entry.path)
            status = entry.stat(follow_symlinks=False)
            if not entry.name.isprintable():
                raise IntegrityError("artifact-odd-name", at=Place(file=repr(entry.path)))
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif not stat.S_ISREG(status.st_mode):
                raise IntegrityError("artifact-not-a-file", at=Place(file=str(path)))
            elif status.st_nlink > 1:
                raise IntegrityError("artifact-hard-link", at=Place(file=str(path)))
            else:
                found.append(path)
    return sorted(found)


def main() -> int:
    """`python -m breakeven.packaging.signing PATH`: makes a key pair, for a project that has none."""
    import sys

    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m breakeven.packaging.signing PATH\n")
        return UsageError.exit_code
    try:
        public = make_key(Path(sys.argv[1]))
    except BreakevenError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.write(f"{sys.argv[1]} signs and stays secret; {public} is what others trust\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
