# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and kubeconfigs: one authority for servers, clients and kubelets, one for the API server's proxy.

Everything is made once and kept. A certificate is made anew when what it says (names, addresses) has changed.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from .settings import Settings

_YEARS = datetime.timedelta(days=3650)
_CLOCK_SKEW = datetime.timedelta(hours=1)

# Who talks to the API server, as file name -> (groups, user). The groups and users with `system:` are known to
# Kubernetes' own RBAC rules; those with `embedded:` get theirs from templates/addons/programs.yaml.j2.
CLIENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "admin": (("system:masters",), "system:admin"),
    "kube-controller-manager": ((), "system:kube-controller-manager"),
    "kube-scheduler": ((), "system:kube-scheduler"),
    "kube-proxy": ((), "system:kube-proxy"),
    "flanneld": ((), "embedded:flanneld"),
    "netpol": ((), "embedded:netpol"),
    "servicelb": ((), "embedded:servicelb"),
}


class Authority:
    """A certificate authority in two files, made when they are not there."""

    def __init__(self, directory: Path, name: str) -> None:
        self.certificate_path = directory / f"{name}.crt"
        key_path = directory / f"{name}.key"
        if self.certificate_path.exists() and key_path.exists():
            self.key = _load_key(key_path)
            self.certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
            return
        self.key = _make_key(key_path)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"stackgate {name}")])
        self.certificate = (
            _builder(subject, subject, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        _write(self.certificate_path, self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, path: Path, user: str, groups: Sequence[str] = (), serving: Sequence[str] = ()) -> bool:
        """PATH.crt and PATH.key for a client, or for a server with the names and addresses it serves; whether made."""
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in serving]) if serving else None
        certificate_path, key_path = path.with_name(path.name + ".crt"), path.with_name(path.name + ".key")
        if certificate_path.exists() and key_path.exists():
            old = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            if old.subject == subject and old.issuer == self.certificate.subject and _alternatives(old) == alternatives:
                return False
        key = _make_key(key_path)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if serving else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(subject, self.certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        _write(certificate_path, builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return True


def ensure(settings: Settings) -> bool:
    """Every key, certificate and kubeconfig of the cluster; whether any had to be made."""
    directory = settings.pki_dir
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    authority, proxy_authority = Authority(directory, "ca"), Authority(directory, "front-proxy-ca")
    made = False
    if not (directory / "service-account.key").exists():
        key = _make_key(directory / "service-account.key")
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        _write(directory / "service-account.pub", public)
        made = True
    kubernetes = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    made |= authority.issue(
        directory / "kube-apiserver",
        "kube-apiserver",
        serving=[*kubernetes, "localhost", settings.node_name(1), "127.0.0.1", settings.node_ip(1), str(settings.service_network[1])],
    )
    made |= authority.issue(directory / "kube-apiserver-kubelet", "kube-apiserver-kubelet", groups=["system:masters"])
    made |= proxy_authority.issue(directory / "front-proxy-client", "front-proxy-client")
    for name, (groups, user) in CLIENTS.items():
        made |= authority.issue(directory / name, user, groups)
        made |= _kubeconfig_from(settings, name)
    for number in settings.node_numbers:
        node = settings.node_name(number)
        made |= authority.issue(directory / node, f"system:node:{node}", ["system:nodes"])
        made |= _kubeconfig_from(settings, node)
        made |= authority.issue(
            directory / f"{node}-serving", f"system:node:{node}", ["system:nodes"], [node, settings.node_ip(number), "127.0.0.1"]
        )
    made |= write_kubeconfig(settings, settings.admin_kubeconfig, _certificate_user(directory / "admin"))
    return made


def write_kubeconfig(settings: Settings, path: Path, user: dict[str, str], namespace: str = "") -> bool:
    """A kubeconfig for this cluster, readable by its owner only; whether the file changed."""
    authority = _base64(settings.pki_dir / "ca.crt")
    context = {"cluster": settings.name, "user": settings.name, **({"namespace": namespace} if namespace else {})}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": settings.name, "cluster": {"server": settings.api_url, "certificate-authority-data": authority}}],
        "users": [{"name": settings.name, "user": user}],
        "contexts": [{"name": settings.name, "context": context}],
        "current-context": settings.name,
    }
    text = yaml.safe_dump(document, sort_keys=False).encode()
    if path.exists() and path.read_bytes() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, text)
    return True


def _kubeconfig_from(settings: Settings, name: str) -> bool:
    return write_kubeconfig(settings, settings.pki_dir / f"{name}.kubeconfig", _certificate_user(settings.pki_dir / name))


def _certificate_user(path: Path) -> dict[str, str]:
    return {
        "client-certificate-data": _base64(path.with_name(path.name + ".crt")),
        "client-key-data": _base64(path.with_name(path.name + ".key")),
    }


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _make_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(
        path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()),
    )
    return key


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StackgateError(
            f"{path} is a key that this role made", f"a {type(key).__name__}", "remove the cluster (local_cluster_state=absent)"
        )
    return key


def _write(path: Path, content: bytes) -> None:
    """Write a file that only root may read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(new, path)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _YEARS)
    )


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=False,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
