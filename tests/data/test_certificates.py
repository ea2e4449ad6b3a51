"""Sources over https: whose certificate is believed. Authorities and servers are made here, connections are real."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from breakeven.data.web import Web
from breakeven.errors import EnvironmentFault, IntegrityError
from tests.data.folder import Folder
from tests.data.loopback import Answer, serving

CSV = b"text,label\nfine,good\npoor,bad\n"
DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Signs certificates of servers on this machine; `file` holds its own."""

    file: Path
    key: ec.EllipticCurvePrivateKey
    subject: x509.Name

    @classmethod
    def made(cls, folder: Path, name: str) -> Authority:
        made = cls(folder / f"{name}.pem", ec.generate_private_key(ec.SECP256R1()), _name(name))
        root = made._certificate(made.subject, made.key, days=(-1, 10))
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made.file.write_bytes(root.sign(made.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return made

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self.subject, subject, key.public_key(), x509.random_serial_number())
        return builder.not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)

    def server(self, *, days: tuple[int, int] = (-1, 1), address: str = "127.0.0.1") -> ssl.SSLContext:
        """What a server at `address` shows, valid for these days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        alone = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = self._certificate(_name("server"), key, days=days).add_extension(alone, critical=False)
        file = self.file.with_suffix(".server.pem")
        plain = serialization.NoEncryption()
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        signed = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        file.write_bytes(secret + signed)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this environment trusts, without a proxy in between."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Authority.made(tmp_path, "company")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_a_certificate_of_the_named_authority_is_believed(authority: Authority, tmp_path: Path) -> None:
    with serving(authority.server()) as server:
        server.answers["/t.csv"] = Answer(CSV)
        source = {"url": server.url + "/t.csv", "allow_private": True}
        assert Folder(tmp_path, {"source": source}).run("collect").table().height == 2


@pytest.mark.parametrize(("days", "address", "words"), [
    ((-3, -1), "127.0.0.1", "certificate has expired"), ((1, 3), "127.0.0.1", "certificate is not yet valid"),
    ((-1, 1), "10.9.8.7", "IP address mismatch"),
], ids=["expired", "not yet", "another address"])  # fmt: skip
def test_a_certificate_that_does_not_hold_is_refused_and_nothing_is_kept(
    authority: Authority, tmp_path: Path, *, days: tuple[int, int], address: str, words: str
) -> None:
    with serving(authority.server(days=days, address=address)) as server:
        server.answers["/t.csv"] = Answer(CSV)
        source = {"url": server.url + "/t.csv", "allow_private": True}
        with pytest.raises(IntegrityError, match=rf"/t.csv: its certificate is not trusted: .*{words}") as caught:
            Folder(tmp_path, {"source": source}).run("collect")
    assert caught.value.exit_code == 4
    assert server.asked == [] and not (tmp_path / "artifacts" / "snapshots").exists()


def test_an_authority_that_nobody_named_is_not_believed(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority.made(tmp_path, "stranger")
    for named in (str(authority.file), None):
        if named is None:
            monkeypatch.delenv("SSL_CERT_FILE")
        with (
            serving(other.server()) as server,
            pytest.raises(IntegrityError, match=r"not trusted: unable to get local issuer .*SSL_CERT_FILE=ca.pem"),
        ):
            Web(allow_private=True).get(server.url + "/t.csv")


def test_a_file_of_certificates_that_is_absent_is_named(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with serving(authority.server()) as server, pytest.raises(EnvironmentFault, match=r"gone.pem: cannot be read: No"):
        Web(allow_private=True).get(server.url + "/t.csv")
