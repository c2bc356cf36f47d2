# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one registry client of the collection: it asks (is the registry there, has it this image, under which digest).

Blobs are moved by buildah; this client needs nothing but Python.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Seconds for one question. A registry that needs longer cannot be worked with.
TIMEOUT = 10.0
# Without these a registry converts the manifest to an old format, and its digest is another one.
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test", ".k3s", ".svc")


class RegistryError(StackgateError):
    """The registry does not answer, or refuses."""


class Unreachable(RegistryError):
    """Nothing answers at the registry's address, or not in time."""


@dataclass(frozen=True)
class Address:
    """Where a registry is reached. path: the part of a reference between host and image, without slashes at its ends."""

    scheme: str
    host: str
    path: str = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def plain(self) -> bool:
        """Whether it speaks plain HTTP."""
        return self.scheme == "http"

    @property
    def private(self) -> bool:
        return is_private(self.host)

    def repository(self, repository: str) -> str:
        return f"{self.path}/{repository}" if self.path else repository


def is_private(host: str) -> bool:
    """Whether a host (with or without port) is on this machine or a local network: no proxy is asked for it."""
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(PRIVATE_SUFFIXES)
    return address.is_private or address.is_loopback


def parse_address(registry: str, url: str = "", tls: bool | None = None) -> Address:
    """The address behind the registry part of a reference.

    registry: as in references: host[:port][/path].
    url:      where this machine reaches it when that is elsewhere: [scheme://]host[:port].
    tls:      whether it speaks TLS, when url has no scheme; None: not on a local network, elsewhere yes.
    Raises RegistryError.
    """
    host, _slash, path = registry.strip("/").partition("/")
    scheme, _separator, place = url.rstrip("/").rpartition("://")
    place = place or host
    if "://" in registry or not place or "/" in place or re.search(r"\s", place) or scheme not in ("", "http", "https"):
        raise RegistryError(
            "a registry as host[:port][/path], its address as [http://|https://]host[:port]",
            f"registry {registry!r}, address {url!r}",
            "correct stackgate_registry or stackgate_registry_url",
        )
    secure = not is_private(place) if tls is None else tls
    return Address(scheme or ("https" if secure else "http"), place, path)


class Registry:
    """Questions to one registry.

    username, password: sent as Basic, or exchanged for a token where the registry says so.
    ca_cert:            file with the certificates to trust; "" = the system's.
    validate_certs:     False trusts any certificate.
    timeout:            seconds for one question.
    Every method may raise RegistryError.
    """

    def __init__(
        self,
        address: Address,
        *,
        username: str = "",
        password: str = "",
        ca_cert: str = "",
        validate_certs: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        self.address = address
        self.username, self.password = username, password
        self.ca_cert, self.validate_certs = ca_cert, validate_certs
        self.timeout = timeout
        self._tokens: dict[str, str] = {}
        handlers: list[urllib.request.BaseHandler] = []
        if address.private:
            handlers.append(urllib.request.ProxyHandler({}))
        if not address.plain:
            handlers.append(urllib.request.HTTPSHandler(context=self._tls()))
        self._opener = urllib.request.build_opener(*handlers)

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_cert or None)
        except (OSError, ssl.SSLError) as error:
            raise RegistryError(f"{self.ca_cert} holds certificates", str(error), "correct stackgate_registry_ca_cert") from error
        if not self.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def ping(self) -> None:
        """Return when the registry answers, and accepts the credentials."""
        self._request("GET", "/v2/", scope="")

    def wait(self, patience: float) -> None:
        """Like ping, but a registry that does not answer yet has `patience` seconds. A refusal is final."""
        began = time.monotonic()
        while True:
            try:
                return self.ping()
            except Unreachable as error:
                waited = time.monotonic() - began
                if waited >= patience:
                    raise Unreachable(error.expected, error.seen, error.hint, waited) from error
            time.sleep(min(0.5, max(0.0, patience - waited)))

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of a tag's manifest (sha256:...), None when the registry has no such image."""
        path = f"/v2/{self.address.repository(repository)}/manifests/{reference}"
        response = self._request("HEAD", path, scope=f"repository:{self.address.repository(repository)}:pull")
        if response is None:
            return None
        digest = response[0].get("Docker-Content-Digest")
        if not digest:
            raise RegistryError(
                f"{self.address.url}{path} answers with Docker-Content-Digest", "no such header", "is it a registry (API v2)?"
            )
        return digest

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; empty when the registry does not know it."""
        name = self.address.repository(repository)
        response = self._request("GET", f"/v2/{name}/tags/list", scope=f"repository:{name}:pull")
        return sorted(json.loads(response[1]).get("tags") or []) if response else []

    def _request(self, method: str, path: str, scope: str) -> tuple[Message, bytes] | None:
        """Ask; None when the registry answers 404 about an image."""
        url = self.address.url + path
        authorization = self._tokens.get(scope, "")
        for attempt in (1, 2):
            try:
                return self._ask(method, url, authorization)
            except urllib.error.HTTPError as error:
                if error.code == 404 and scope:
                    return None
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code == 401 and attempt == 1 and challenge:
                    authorization = self._tokens[scope] = self._authorize(challenge, scope)
                    if authorization:
                        continue
                raise self._refused(method, url, error) from error
        raise AssertionError("unreachable")

    def _ask(self, method: str, url: str, authorization: str) -> tuple[Message, bytes]:
        request = urllib.request.Request(url, method=method)  # noqa: S310 - http or https, by parse_address and _authorize
        request.add_header("Accept", ", ".join(MANIFEST_TYPES) if "/manifests/" in url else "application/json")
        if authorization:
            request.add_header("Authorization", authorization)
        began = time.monotonic()
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                return response.headers, response.read()
        except urllib.error.HTTPError:
            raise
        except (OSError, ValueError, urllib.error.URLError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            kind = RegistryError if isinstance(reason, ssl.SSLError) else Unreachable
            raise kind(
                f"the registry answers at {self.address.url}",
                str(reason) or type(reason).__name__,
                self._hint(reason),
                time.monotonic() - began,
            ) from error
        except Exception as error:  # http.client's own family: not HTTP at all
            raise RegistryError(
                f"{self.address.url} speaks HTTP", f"{type(error).__name__}: {error}", self._hint(error), time.monotonic() - began
            ) from error

    def _hint(self, reason: Any) -> str:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return "name the registry's CA with stackgate_registry_ca_cert"
        if isinstance(reason, ssl.SSLError):
            return f"if it speaks plain HTTP, say so: stackgate_registry_url: http://{self.address.host}"
        return "start the registry, or say where this machine reaches it: stackgate_registry_url: http://<address>:<port>"

    def _refused(self, method: str, url: str, error: urllib.error.HTTPError) -> RegistryError:
        hint = "check what listens there"
        if error.code in (401, 403):
            hint = "give credentials with the right to this repository: stackgate_registry_username, stackgate_registry_password"
        elif error.code >= 500:
            hint = "read the registry's log"
        return RegistryError(f"the registry accepts {method} {url}", f"HTTP {error.code} {error.reason}", hint)

    def _basic(self) -> str:
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def _authorize(self, challenge: str, scope: str) -> str:
        """The Authorization header that a challenge asks for; "" when there is none to give."""
        kind, parameters = parse_challenge(challenge)
        realm = parameters.get("realm", "")
        if kind != "bearer" or not realm.startswith(("http://", "https://")):
            return self._basic()
        query = {key: value for key, value in (("service", parameters.get("service", "")), ("scope", scope)) if value}
        url = f"{realm}?{urllib.parse.urlencode(query)}"
        try:
            token = json.loads(self._ask("GET", url, self._basic())[1])
        except urllib.error.HTTPError as error:
            raise self._refused("GET", url, error) from error
        value = token.get("token") or token.get("access_token") or ""
        return f"Bearer {value}" if value else ""


def parse_challenge(header: str) -> tuple[str, Mapping[str, str]]:
    """A WWW-Authenticate header as (kind in lower case, parameters)."""
    kind, _space, rest = header.partition(" ")
    return kind.lower(), {key.lower(): value for key, value in re.findall(r'(\w+)="([^"]*)"', rest)}
