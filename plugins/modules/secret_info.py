#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: secret_info
short_description: Tell whether Secrets are there, and when their content changes
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Reads Secrets and returns a checksum of each, never a value.
  - The checksum belongs in an annotation of the pods that use the Secret, so that a changed password gives new pods. It is salted
    with the Secret's own UID, so that nobody who reads the annotation can try passwords against it.
  - Runs in ansible's own process.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.read_only
options:
  names:
    description: Names of the Secrets.
    type: list
    elements: str
    required: true
  namespace:
    description: The namespace that they are in.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Look at the Secret of redis
  stackgate.k3s.secret_info:
    names: [redis]
    namespace: wesago
  register: found
"""

RETURN = r"""
checksums:
  description: Checksum by name; empty for a Secret that does not exist.
  returned: success
  type: dict
  sample: {redis: 8d1f0f6ce7a3b1d2}
missing:
  description: Names of the Secrets that do not exist.
  returned: success
  type: list
  elements: str
"""
