#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: single_points_info
short_description: Warn of what one lost node takes away from every application
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Tells whether the pods of the cluster's name server, or those of its ingress controller, are all on one node. Then that node takes
    every application with it, however many replicas their own stores have.
  - Looks at the EndpointSlices in C(kube-system) and in the ingress controller's namespace, and says nothing about what the identity
    may not list, nor about a cluster of one node.
  - A warning, never a failure. Runs in ansible's own process.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.read_only
options:
  ingress_namespace:
    description: Where the pods of the ingress controller are.
    type: str
    default: kube-system
"""

EXAMPLES = r"""
- name: Warn of what one lost node takes away
  stackgate.k3s.single_points_info:
  register: found
"""

RETURN = r"""
single_points:
  description: A sentence about each.
  returned: success
  type: list
  elements: str
"""
