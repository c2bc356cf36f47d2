#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Tell the addresses of Services
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Reads Services and returns the one address of each, which stays the same for as long as the Service exists.
  - Pods that have these addresses in their hosts file reach the Services without asking a name server, which may be on the very
    node that was lost.
  - Runs in ansible's own process.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.read_only
options:
  names:
    description: Names of the Services.
    type: list
    elements: str
    required: true
  namespace:
    description: The namespace that they are in.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Look at the Service of redis
  stackgate.k3s.service_info:
    names: [redis]
    namespace: wesago
  register: found
"""

RETURN = r"""
addresses:
  description: Address by name, of those Services that exist and have one; headless ones have none.
  returned: success
  type: dict
  sample: {redis: 10.43.17.4}
"""
