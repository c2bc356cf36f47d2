#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Wait until a stage is true
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Waits.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
options:
  namespace:
    description: The namespace that all conditions are about.
    type: str
    required: true
  stage:
    description: What the gate is called in messages.
    type: str
    default: ''
  conditions:
    description: What must hold.
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds.
    type: float
    default: 300
  interval:
    description: Seconds.
    type: float
    default: 1
  stable:
    description: Seconds.
    type: float
    default: 0
  unschedulable_after:
    description: Seconds.
    type: float
    default: 60
  registry:
    description:
      - The registry, as in the image's reference, as C(host[:port][/path]).
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
    no_log: true
  registry_ca_cert:
    description:
      - File with the certificates to trust. The default is the variable C(stackgate_registry_ca_cert), then the system's.
    type: path
  registry_validate_certs:
    description:
      - Whether the registry's certificate is checked. The default is the variable C(stackgate_registry_validate_certs), then yes.
    type: bool
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""
