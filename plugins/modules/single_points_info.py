#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: single_points_info
short_description: Warn of what one lost node takes away
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Tells whether the pods of the cluster's name server, or those of its ingress controller, are all on one node. Then that node takes
    every application with it, however many replicas their own stores have.
  - Tells which StatefulSets of an instance have members that share a node although another node could have one, and how to move it.
    Only those are looked at that ask to be spread over nodes. A spread may be a preference, and a volume that is on one node keeps its
    pod there for good.
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
  namespace:
    description: The instance's namespace. Without it no StatefulSets are looked at.
    type: str
"""

EXAMPLES = r"""
- name: Warn of what one lost node takes away
  stackgate.k3s.single_points_info:
    namespace: wesago
  register: found
"""

RETURN = r"""
single_points:
  description: A sentence about each.
  returned: success
  type: list
  elements: str
"""
