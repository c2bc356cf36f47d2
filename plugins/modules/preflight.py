#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Stop bad input before anything has changed
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Checks what the user wrote (component names, tags, misspelt variables, types and choices of each role's argument specs, replica
    counts, host names claimed twice) and where the stack is to live (kubeconfig, context, API server, rights in the namespace,
    storage classes, ingress class, registry).
  - Reads only. Everything that is wrong is reported at once, each with what was expected, what was seen and what to try.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.registry
  - stackgate.k3s.read_only
options:
  namespace:
    description: The namespace that the stack will live in; the rights are asked for it.
    type: str
    required: true
  components:
    description: The stack's components, that is, the roles that will be applied.
    type: list
    elements: str
    default: []
  storage_classes:
    description: Storage classes that must exist. Empty names stand for the cluster's default and are not checked.
    type: list
    elements: str
    default: []
  ingress_class:
    description: The IngressClass that must exist; empty for none.
    type: str
    default: ''
  registry_timeout:
    description: Seconds that the registry may take to answer, when it is just being started.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Check everything before anything changes
  stackgate.k3s.preflight:
    namespace: wesago
    components: [namespace, postgresql, redis]
    storage_classes: [local-path]
    registry: registry.k3s:5000
    registry_tls: false
"""

RETURN = r"""
msg:
  description: What stands in the way, each with what was expected, what was seen and what to try; or that nothing does.
  returned: always
  type: str
"""
