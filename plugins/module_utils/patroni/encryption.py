# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a PostgreSQL server, or a pooler before it, speaks TLS as a client wants it that checks certificates."""

from __future__ import annotations

import contextlib
import re
import ssl
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.probe import End
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import reason

# A client's question whether it may go on with TLS (protocol 3.0, SSLRequest); S says yes, N no.
QUESTION = struct.pack("!II", 8, 80877103)
# Seconds for the whole conversation.
TIMEOUT = 5.0
# Seconds that the other side may take to end it.
PARTING = 0.5
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """What is expected of servers: name, certificate (PEM; the first one counts), and the authority that clients trust (PEM)."""

    name: str
    certificate: str
    authority: str


def troubles(ends: Sequence[End], wanted: Wanted) -> list[str]:
    """A sentence for each end that does not do as wanted; all are asked at the same time. Raises StackgateError for what is no PEM."""
    first = PEM.search(wanted.certificate)
    try:
        context = ssl.create_default_context(cadata=wanted.authority)
        expected = ssl.PEM_cert_to_DER_cert(first.group()) if first else b""
    except (ValueError, ssl.SSLError) as error:
        raise StackgateError("an authority's certificate in PEM", str(error)) from error
    if not expected:
        raise StackgateError("a certificate in PEM", "there is none")
    with ThreadPoolExecutor(max(len(ends), 1)) as pool:
        found = list(pool.map(lambda end: _trouble(end, context, wanted.name, expected), ends))
    return [f"{end.label} {said}" for end, said in zip(ends, found, strict=True) if said]


def _trouble(end: End, context: ssl.SSLContext, name: str, expected: bytes) -> str:
    """What is wrong; empty when nothing is."""
    try:
        with end.dial(TIMEOUT) as raw:
            raw.settimeout(TIMEOUT)
            raw.sendall(QUESTION)
            answer = raw.recv(1)
            if answer != b"S":
                said = str(getattr(raw, "error", "")).strip()
                return "speaks no TLS" if answer == b"N" else f"does not answer: {reason(EOFError('the connection ended'), said)}"
            with context.wrap_socket(raw, server_hostname=name) as secured:
                shown = secured.getpeercert(binary_form=True)
                secured.settimeout(PARTING)
                with contextlib.suppress(OSError):  # an end without a word is an error in the pooler's log
                    secured.unwrap()
                if shown != expected:
                    return "still has another certificate than the one in the Secret"
    except ssl.SSLCertVerificationError as error:
        return f"has a certificate that clients do not trust: {error.verify_message}"
    except (OSError, StackgateError) as error:
        return f"cannot be asked: {reason(error)}"
    return ""
