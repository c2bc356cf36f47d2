#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: api_info
short_description: Tell which kinds of objects a cluster serves
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Asks the API server which of some kinds it serves, so that a role makes objects of a CustomResourceDefinition only where that is
    installed.
  - Runs in ansible's own process.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.read_only
options:
  kinds:
    description: The kinds to ask for, each as C(group/version/Kind), or C(version/Kind) for the core group.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Look for Traefik's middlewares
  stackgate.k3s.api_info:
    kinds: [traefik.io/v1alpha1/Middleware]
  register: found
"""

RETURN = r"""
served:
  description: Those of the kinds that the cluster serves.
  returned: success
  type: list
  elements: str
  sample: [traefik.io/v1alpha1/Middleware]
"""
