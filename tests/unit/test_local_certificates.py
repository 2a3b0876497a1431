"""The certificates of a local cluster: who they name, whom they trust, who can read them."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kvhelm.local.certificates import Certificates, ensure_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("local") / "certificates", "10.96.0.1")


def load(certificates: Certificates, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.certificate(name).read_bytes())


def subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(part.value) for part in certificate.subject.get_attributes_for_oid(oid)]


@pytest.mark.parametrize(
    ("name", "user", "groups"),
    [
        ("admin", "kvhelm-admin", ["system:masters"]),
        ("kube-controller-manager", "system:kube-controller-manager", []),
        ("kube-scheduler", "system:kube-scheduler", []),
        ("kwok", "kvhelm:kwok", []),
    ],
)
def test_each_part_has_an_identity_of_its_own(
    certificates: Certificates, name: str, user: str, groups: list[str]
) -> None:
    certificate = load(certificates, name)
    assert subject(certificate, NameOID.COMMON_NAME) == [user]
    assert subject(certificate, NameOID.ORGANIZATION_NAME) == groups
    certificate.verify_directly_issued_by(load(certificates, "ca"))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_api_server_is_known_by_its_addresses(certificates: Certificates) -> None:
    names = load(certificates, "apiserver").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert {str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1",
        "10.96.0.1",
    }
    assert "kubernetes.default.svc" in names.value.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("name", ["admin", "kube-scheduler", "kwok", "apiserver"])
def test_no_client_of_the_api_server_is_one_of_etcd(certificates: Certificates, name: str) -> None:
    with pytest.raises(ValueError, match="Issuer"):
        load(certificates, name).verify_directly_issued_by(load(certificates, "etcd-ca"))


def test_only_the_user_can_read_them(certificates: Certificates) -> None:
    assert stat.S_IMODE(certificates.directory.stat().st_mode) == 0o700
    keys = list(certificates.directory.glob("*.key"))
    assert len(keys) == 8
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_the_authorities_keys_are_not_kept(certificates: Certificates) -> None:
    assert not certificates.key("ca").exists()
    assert not certificates.key("etcd-ca").exists()


def test_the_service_account_keys_are_a_pair(certificates: Certificates) -> None:
    private = serialization.load_pem_private_key(
        certificates.key("service-account").read_bytes(), None
    )
    public = serialization.load_pem_public_key(certificates.service_account_public_key.read_bytes())
    assert private.public_key() == public


def test_a_kept_cluster_keeps_its_certificates(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path / "c", "10.96.0.1")
    before = {path.name: path.read_bytes() for path in first.directory.iterdir()}
    ensure_certificates(tmp_path / "c", "10.96.0.1")
    assert {path.name: path.read_bytes() for path in first.directory.iterdir()} == before


def test_half_made_certificates_are_made_again(tmp_path: Path) -> None:
    """Whoever was killed on the way must not leave a cluster that can never start."""
    made = ensure_certificates(tmp_path / "c", "10.96.0.1")
    (made.directory / "complete").unlink()
    made.key("kwok").unlink()
    ensure_certificates(tmp_path / "c", "10.96.0.1")
    load(made, "kwok").verify_directly_issued_by(load(made, "ca"))
    assert made.key("kwok").exists()
