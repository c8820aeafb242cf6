"""The mesh's own certificate authority, for when everything runs on one machine.

In a folder: `ca.pem` and `ca-key.pem`, and for each service `<service>.pem` and
`<service>-key.pem`. A service's certificate names it four ways: DNS `<service>`, DNS `localhost`,
IP 127.0.0.1 and URI `spiffe://tessera/<service>`.
"""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA = "ca"
_CA_LIFE = timedelta(days=3650)
_SERVICE_LIFE = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Identity:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def lasts(self, now: datetime) -> bool:
        starts, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return starts <= now < ends - _RENEW_BEFORE


def ensure_certificates(
    directory: Path, services: Sequence[str], *, now: datetime | None = None
) -> None:
    """Make the certificates that are missing, broken, or end within 30 days.

    A new authority makes all certificates anew. Several processes may call this at once.
    """
    now = now or datetime.now(UTC)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ca = _read(directory, _CA)
        if ca is None or not ca.lasts(now):
            ca = _make_ca(now)
            _write(directory, _CA, ca)
        for service in services:
            identity = _read(directory, service)
            if identity is None or not identity.lasts(now) or not _issued(ca, identity, service):
                _write(directory, service, _make_service(ca, service, now))


def _read(directory: Path, name: str) -> _Identity | None:
    """What the two files hold, if they hold a certificate and the key that belongs to it."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key(
            (directory / f"{name}-key.pem").read_bytes(), password=None
        )
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    if key.public_key() != certificate.public_key():  # ended between writing one and the other
        return None
    return _Identity(certificate, key)


def _issued(ca: _Identity, identity: _Identity, service: str) -> bool:
    try:
        identity.certificate.verify_directly_issued_by(ca.certificate)
        names = identity.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return names.value == _names(service)


def _names(service: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.DNSName(service),
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
            x509.UniformResourceIdentifier(f"spiffe://tessera/{service}"),
        ]
    )


def _make_ca(now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number keeps an old authority and its successor apart where both are around.
    serial = x509.random_serial_number()
    name = _name(f"Tessera local authority {serial:x}"[:64])
    builder = (
        _builder(name, name, key, now, _CA_LIFE)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _Identity(builder.sign(key, hashes.SHA256()), key)


def _make_service(ca: _Identity, service: str, now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    builder = (
        _builder(_name(service), ca.certificate.subject, key, now, _SERVICE_LIFE)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both_ends), critical=False)
        .add_extension(_names(service), critical=False)
        .add_extension(issuer_id, critical=False)
    )
    return _Identity(builder.sign(ca.key, hashes.SHA256()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(directory: Path, name: str, identity: _Identity) -> None:
    key = identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _replace(directory / f"{name}-key.pem", key, mode=0o600)
    certificate = identity.certificate.public_bytes(serialization.Encoding.PEM)
    _replace(directory / f"{name}.pem", certificate, mode=0o644)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Put `content` at `path` whole; a key is never readable by others, not even for a moment."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
