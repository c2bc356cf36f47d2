# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a task reaches the image registry: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that asks the registry."""

    DOCUMENTATION = r"""
options:
  registry:
    description:
      - The registry, as in an image's reference, as C(host[:port][/path]).
      - The default is the variable C(stackgate_registry).
    type: str
  registry_url:
    description:
      - Where this machine reaches the registry, as C([http://|https://]host[:port]), when that is not what its name says.
      - The default is the variable C(stackgate_registry_url), then O(registry).
    type: str
  registry_tls:
    description:
      - Whether the registry speaks TLS. A scheme in O(registry_url) wins over it.
      - The default is the variable C(stackgate_registry_tls), then no for a host on a local network and yes for any other.
    type: bool
  registry_username:
    description:
      - User name at the registry. The default is the variable C(stackgate_registry_username), then none.
    type: str
  registry_password:
    description:
      - Password at the registry. The default is the variable C(stackgate_registry_password), then none.
    type: str
  registry_ca_cert:
    description:
      - File with the certificates to trust. The default is the variable C(stackgate_registry_ca_cert), then the system's.
    type: path
  registry_validate_certs:
    description:
      - Whether the registry's certificate is checked. The default is the variable C(stackgate_registry_validate_certs), then yes.
    type: bool
"""
