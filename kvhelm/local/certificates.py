"""Who may speak to whom in a local cluster: two authorities, one certificate a part, one key pair.

etcd trusts an authority of its own: a client of the API server must not be a client of etcd.
Keys are 0600, in a folder that is 0700.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A cluster that is kept for longer than this has to be made again.
LIFETIME = timedelta(days=3650)

SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Identity:
    """The subject of a certificate: user and groups, as the API server reads them."""

    user: str
    groups: tuple[str, ...] = ()
    serves: bool = False


# Client identities of the Kubernetes authority. The API server gives the two parts their own
# ClusterRoles by these names; kwok's is made by kvhelm.local.nodes.
ADMIN = Identity("kvhelm-admin", ("system:masters",))
KUBERNETES = {
    "apiserver": Identity("kube-apiserver", serves=True),
    "admin": ADMIN,
    "kube-controller-manager": Identity("system:kube-controller-manager"),
    "kube-scheduler": Identity("system:kube-scheduler"),
    "kwok": Identity("kvhelm:kwok"),
}
ETCD = {
    "etcd": Identity("etcd", serves=True),
    "etcd-client": Identity("kube-apiserver"),
}


@dataclass(frozen=True)
class Certificates:
    """The files of one cluster's certificates."""

    directory: Path

    def certificate(self, name: str) -> Path:
        """Return the file of a certificate, by its name here (`apiserver`, `admin`, ...)."""
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the file of a private key."""
        return self.directory / f"{name}.key"

    @property
    def service_account_public_key(self) -> Path:
        """The key that the API server checks service account tokens with."""
        return self.directory / "service-account.pub"


def ensure_certificates(
    directory: Path, service_ip: str, more: Mapping[str, Identity] | None = None
) -> Certificates:
    """Make what a cluster needs in `directory`, unless it is there already.

    `service_ip` is the first address of the service range: the API server's own Service.
    `more`: further client identities, by the name of their files.
    """
    certificates = Certificates(directory)
    done = directory / "complete"
    if done.exists():
        return certificates
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    addresses = ("127.0.0.1", service_ip)
    for authority, identities in (("ca", {**KUBERNETES, **(more or {})}), ("etcd-ca", ETCD)):
        issuer_key = ec.generate_private_key(ec.SECP256R1())
        issuer = _authority(authority, issuer_key)
        _write(certificates.certificate(authority), _pem(issuer))
        # The authority's key is forgotten: nothing is signed after this.
        for name, identity in identities.items():
            key = ec.generate_private_key(ec.SECP256R1())
            signed = _signed(identity, key, issuer, issuer_key, addresses)
            _write(certificates.certificate(name), _pem(signed))
            _write(certificates.key(name), _key_pem(key))
    key = ec.generate_private_key(ec.SECP256R1())
    _write(certificates.key("service-account"), _key_pem(key))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(certificates.service_account_public_key, public)
    done.touch()
    return certificates


def _authority(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kvhelm-local-{name}")])
    return (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _signed(
    identity: Identity,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    addresses: tuple[str, ...],
) -> x509.Certificate:
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups),
            x509.NameAttribute(NameOID.COMMON_NAME, identity.user),
        ]
    )
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(subject, issuer.subject, key)
    if identity.serves:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is set back a little must not make the certificates invalid.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file that nobody else could read, not even for a moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
