"""The mesh's certificates on one machine."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from deploy.local.certificates import ensure_certificates

SERVICES = ("gateway", "user_service")


def context(directory: Path, service: str, purpose: ssl.Purpose) -> ssl.SSLContext:
    """What one end of the mesh uses: its own certificate, and nobody without one."""
    made = ssl.create_default_context(purpose, cafile=str(directory / "ca.pem"))
    made.load_cert_chain(directory / f"{service}.pem", directory / f"{service}-key.pem")
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return made


def handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, server_name: str
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let two ends shake hands in memory; raises what either end raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = client.wrap_bio(to_client, to_server, server_hostname=server_name)
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client_end, server_end]
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)
    return client_end, server_end


def both_ends(client_dir: Path, server_dir: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return (
        context(client_dir, "gateway", ssl.Purpose.SERVER_AUTH),
        context(server_dir, "user_service", ssl.Purpose.CLIENT_AUTH),
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def changed(before: dict[str, bytes], directory: Path) -> set[str]:
    return {name for name, content in contents(directory).items() if before.get(name) != content}


@pytest.mark.parametrize("server_name", ["user_service", "localhost", "127.0.0.1"])
def test_two_services_trust_each_other(tmp_path: Path, server_name: str) -> None:
    ensure_certificates(tmp_path, SERVICES)
    client, server = handshake(*both_ends(tmp_path, tmp_path), server_name)
    seen_by_server, seen_by_client = server.getpeercert(), client.getpeercert()
    assert seen_by_server
    assert seen_by_server["subject"] == ((("commonName", "gateway"),),)
    assert ("URI", "spiffe://tessera/gateway") in seen_by_server["subjectAltName"]
    assert seen_by_client
    assert seen_by_client["subject"] == ((("commonName", "user_service"),),)


def test_a_service_is_not_taken_for_another(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, SERVICES)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*both_ends(tmp_path, tmp_path), "payment_service")


def test_a_client_of_another_mesh_is_refused(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ensure_certificates(ours, SERVICES)
    ensure_certificates(theirs, SERVICES)
    client, server = both_ends(theirs, ours)
    client.load_verify_locations(ours / "ca.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, "user_service")


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, SERVICES)
    keys = sorted(tmp_path.glob("*-key.pem"))
    assert [key.name for key in keys] == ["ca-key.pem", "gateway-key.pem", "user_service-key.pem"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_what_is_there_and_good_stays(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, SERVICES)
    before = contents(tmp_path)
    ensure_certificates(tmp_path, SERVICES)
    assert not changed(before, tmp_path)


def test_a_new_service_gets_its_certificate_from_the_same_authority(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, ["user_service"])
    before = contents(tmp_path)
    ensure_certificates(tmp_path, SERVICES)
    assert changed(before, tmp_path) == {"gateway.pem", "gateway-key.pem"}
    handshake(*both_ends(tmp_path, tmp_path), "user_service")


def test_a_certificate_that_ends_within_thirty_days_is_renewed(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, SERVICES, now=datetime.now(UTC) - timedelta(days=340))
    before = contents(tmp_path)
    ensure_certificates(tmp_path, SERVICES)
    assert changed(before, tmp_path) == {
        f"{service}{ending}" for service in SERVICES for ending in (".pem", "-key.pem")
    }
    handshake(*both_ends(tmp_path, tmp_path), "user_service")


def test_an_ending_authority_is_replaced_with_all_it_signed(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, SERVICES, now=datetime.now(UTC) - timedelta(days=3640))
    ensure_certificates(tmp_path, ["user_service"])  # the gateway's is left of the old authority
    ensure_certificates(tmp_path, SERVICES)
    handshake(*both_ends(tmp_path, tmp_path), "user_service")
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    assert ca.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3600)


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "gateway.pem", "gateway-key.pem"])
@pytest.mark.parametrize("content", [None, b"", b"torn"])
def test_a_lost_or_torn_file_is_made_anew(tmp_path: Path, name: str, content: bytes | None) -> None:
    ensure_certificates(tmp_path, SERVICES)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    ensure_certificates(tmp_path, SERVICES)
    handshake(*both_ends(tmp_path, tmp_path), "user_service")


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, SERVICES)
    (tmp_path / "gateway-key.pem").write_bytes((tmp_path / "user_service-key.pem").read_bytes())
    ensure_certificates(tmp_path, SERVICES)
    handshake(*both_ends(tmp_path, tmp_path), "user_service")
