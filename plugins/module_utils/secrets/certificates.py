# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in Secrets of the type kubernetes.io/tls: an authority of one's own, what it signs, and a look at what others have made.

No message of this file holds a key. Times are in UTC.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import values

if TYPE_CHECKING:
    from cryptography import x509

TYPE = "kubernetes.io/tls"
CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
# A clock that is behind takes a new certificate for one that is not valid yet.
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Terms:
    """What a certificate is to be. names: host names, with a wildcard as first label at most, and addresses; the first is its subject.

    days: that it is valid. renew_days: it is made anew when it has less than that left.
    """

    names: tuple[str, ...]
    days: int
    renew_days: int


@dataclass(frozen=True)
class Certificate:
    """A certificate that was read. authorities: those of ca.crt; chain: what follows it in tls.crt."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The host names and addresses that it is for."""
        from cryptography import x509

        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        return (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))

    @property
    def ends(self) -> datetime.datetime:
        """The last moment at which it is valid."""
        return self.leaf.not_valid_after_utc

    def covers(self, name: str) -> bool:
        """Whether a client that checks names takes it for that one."""
        _first, _dot, rest = name.partition(".")
        return any(one in (name, f"*.{rest}") if rest else one == name for one in self.names)

    @property
    def trusted(self) -> bool:
        """Whether an authority of ca.crt has signed it, or one in between of tls.crt."""
        current = self.leaf
        for _step in range(len(self.chain) + 1):
            if any(_issued(current, one) for one in self.authorities):
                return True
            above = next((one for one in self.chain if one != current and _issued(current, one)), None)
            if above is None:
                return False
            current = above
        return False

    def facts(self) -> dict[str, Any]:
        """What a task returns of it."""
        from cryptography.hazmat.primitives import hashes

        return {
            "names": list(self.names),
            "subject": self.leaf.subject.rfc4514_string(),
            "issuer": self.leaf.issuer.rfc4514_string(),
            "ends": self.ends.isoformat(),
            "fingerprint": self.leaf.fingerprint(hashes.SHA256()).hex(),
        }


# -- made here -----------------------------------------------------------------------------------------------------------


def plan_authority(found: values.Existing, terms: Terms, now: datetime.datetime) -> values.Plan:
    """The Secret of an authority: what is there, as long as it is of use. One that somebody else has put there is left alone.

    Raises StackgateError when what is there is no authority.
    """
    if found.data.get(CERTIFICATE):
        signer, _key = _key_pair(found.data)
        if CERTIFICATE not in found.generated or signer.not_valid_after_utc - now >= datetime.timedelta(days=terms.renew_days):
            return _kept(found)
    key, name = _new_key(), _name(terms.names[0])
    made = _signed(name, name, key, key, now, now + datetime.timedelta(days=terms.days))
    return _plan(found, {CERTIFICATE: _pem(made), KEY: _pem_key(key)})


def plan_certificate(found: values.Existing, terms: Terms, authority: Mapping[str, bytes], now: datetime.datetime) -> values.Plan:
    """The Secret of a certificate that the authority, the data of whose Secret is given, has signed: what is there, while it is right.

    It is made anew with a new key when it ends soon, or is for other names or of another authority. It does not outlive its authority.
    Raises StackgateError when the authority's Secret does not hold one.
    """
    signer, signing_key = _key_pair(authority)
    if signer.not_valid_after_utc <= now:
        seen = f"{signer.subject.rfc4514_string()} ended on {signer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise StackgateError("an authority that is valid", seen, "put another one into its Secret, or delete it to have one made")
    ends = min(now + datetime.timedelta(days=terms.days), signer.not_valid_after_utc)
    if _serves(found, terms, signer, now, ends):
        return _kept(found)
    key = _new_key()
    made = _signed(_name(terms.names[0]), signer.subject, key, signing_key, now, ends, terms.names)
    return _plan(found, {CERTIFICATE: _pem(made), KEY: _pem_key(key), AUTHORITY: _pem(signer)})


def _serves(found: values.Existing, terms: Terms, signer: x509.Certificate, now: datetime.datetime, ends: datetime.datetime) -> bool:
    """Whether the certificate that is there is the one that is wanted. ends: when a new one would end."""
    try:
        there = read(found.data)
        key = _private_key(found.data)
    except StackgateError:  # there is none, or what is there is of no use
        return False
    soon = there.ends - now < datetime.timedelta(days=terms.renew_days) and ends - there.ends > datetime.timedelta(days=1)
    ours = _issued(there.leaf, signer) and found.data.get(AUTHORITY) == _pem(signer) and _same_key(there.leaf, key)
    return ours and not soon and set(there.names) == set(map(_plain, terms.names))


def _plan(found: values.Existing, made: Mapping[str, bytes]) -> values.Plan:
    actions = {key: values.ROTATED if found.data.get(key) else values.GENERATED for key in made}
    others = {key: value for key, value in found.data.items() if key not in made}
    actions.update(dict.fromkeys(others, values.KEPT))
    return values.Plan({**others, **made}, actions, found.generated | frozenset(made), found.derived)


def _kept(found: values.Existing) -> values.Plan:
    ours = frozenset({CERTIFICATE, KEY, AUTHORITY}) & frozenset(found.data)
    actions = {key: values.UNCHANGED if key in ours else values.KEPT for key in found.data}
    return values.Plan(dict(found.data), actions, found.generated, found.derived)


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: Any,
    signing_key: Any,
    now: datetime.datetime,
    ends: datetime.datetime,
    names: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate for servers of these names, or without names an authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
    from cryptography.x509.oid import ExtendedKeyUsageOID

    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None if names else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .add_extension(_usage(authority=not names), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    # These keys, of an authority that somebody brought, have their own hash.
    own_hash = isinstance(signing_key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(signing_key, None if own_hash else hashes.SHA256())


def _usage(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    given = {**dict.fromkeys(others, False), "digital_signature": True, "key_cert_sign": authority, "crl_sign": authority}
    return x509.KeyUsage(**given)


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _alternative(name: str) -> x509.GeneralName:
    from cryptography import x509

    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _plain(name: str) -> str:
    """A name as a certificate tells it."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    return name


def _pem(made: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return made.public_bytes(Encoding.PEM)


def _pem_key(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


# -- made by somebody --------------------------------------------------------------------------------------------------


def read(data: Mapping[str, bytes]) -> Certificate:
    """The certificate of a Secret's data. Raises StackgateError when it cannot be read."""
    leaf, *chain = _certificates(data, CERTIFICATE)
    return Certificate(leaf, tuple(chain), tuple(_certificates(data, AUTHORITY)) if data.get(AUTHORITY) else ())


def examine(data: Mapping[str, bytes], where: str, names: Iterable[str], now: datetime.datetime) -> Certificate:
    """The certificate of a Secret that clients are to trust and check. where: what errors call the Secret.

    Raises StackgateError with everything that is wrong: a key of the Secret that is missing, a certificate that has ended or has not
    begun, that is for other names, of an authority that is not in ca.crt, or of another private key.
    """
    lacking = [key for key in (CERTIFICATE, KEY, AUTHORITY) if not data.get(key)]
    if lacking:
        raise StackgateError(
            f"{where} has the keys {CERTIFICATE}, {KEY} and {AUTHORITY}",
            f"without {' and '.join(lacking)}; it has {', '.join(sorted(data)) or 'none'}",
            f"{AUTHORITY} is the authority's certificate, which clients check with" if lacking == [AUTHORITY] else "",
        )
    try:
        found = read(data)
        key = _private_key(data)
    except StackgateError as error:
        raise StackgateError(f"{where} holds a certificate and its key", error.seen, error.hint) from error
    wrong = []
    if found.ends < now:
        wrong.append(f"the certificate ended on {found.ends:%Y-%m-%d %H:%M} UTC")
    if found.leaf.not_valid_before_utc > now:
        wrong.append(f"the certificate begins on {found.leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    missing = [name for name in names if not found.covers(name)]
    if missing:
        wrong.append(f"the certificate is not for {', '.join(missing)}; it is for {', '.join(found.names) or 'no name'}")
    if not found.trusted:
        wrong.append(f"{AUTHORITY} has not signed it: it is of {found.leaf.issuer.rfc4514_string() or 'nobody'}")
    if not _same_key(found.leaf, key):
        wrong.append(f"{KEY} is not the key of {CERTIFICATE}")
    if wrong:
        raise StackgateError(f"{where} holds a certificate that clients trust", "; ".join(wrong), "have it issued anew")
    return found


def _certificates(data: Mapping[str, bytes], name: str) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(data.get(name) or b"")
    except ValueError as error:
        raise StackgateError(f"{name} is a certificate in PEM", f"{name} is none: {error}") from error


def _private_key(data: Mapping[str, bytes]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data.get(KEY) or b"", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the error may quote the key
        raise StackgateError(f"{KEY} is a private key in PEM without a password", f"{KEY} is none") from None


def _key_pair(authority: Mapping[str, bytes]) -> tuple[x509.Certificate, Any]:
    """The certificate and the key of an authority. Raises StackgateError."""
    from cryptography import x509

    signer, key = _certificates(authority, CERTIFICATE)[0], _private_key(authority)
    try:
        signs = signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        signs = False
    if not signs or not _same_key(signer, key):
        seen = "its key is another one" if signs else "it may not sign others (basic constraints)"
        raise StackgateError("the certificate of an authority, and its key", f"{signer.subject.rfc4514_string()}: {seen}")
    return signer, key


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _same_key(certificate: x509.Certificate, key: Any) -> bool:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    forms = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return bool(certificate.public_key().public_bytes(*forms) == key.public_key().public_bytes(*forms))
