#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: shared_storage
short_description: Prove that volumes of a storage class are shared by pods on several nodes
version_added: 0.1.0
description:
  - Makes a volume and two pods on two nodes that have it mounted at the same time. Each writes a file and waits until it reads the other's.
    Volume and pods are taken away again, whatever came of it.
  - What was proved is kept in the ConfigMap C(stackgate-proofs) of the namespace, by the class, its provisioner and its parameters. A
    second run finds it there and costs two requests.
  - Fails when the class does not exist, refuses C(ReadWriteMany), or gives each node files of its own, with what to install or to set.
  - In a cluster with a single node both pods run there, and the proof says so.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
options:
  namespace:
    description: The namespace in which the pods run. Where it does not exist yet, nothing is tried.
    type: str
    required: true
  storage_classes:
    description: Names of classes; an empty name is the cluster's default class.
    type: list
    elements: str
    default: []
  image:
    description: An image with a shell, for the pods. Needed with O(state=present).
    type: str
    default: ''
  pull_secret:
    description: The Secret that the image is pulled with.
    type: str
    default: ''
  required:
    description:
      - Whether it is an error when the pods cannot run for a reason that says nothing about the class, such as an image that is not in the
        registry yet. If not, RV(unproved) names the class, and a later run proves it.
    type: bool
    default: true
  state:
    description: V(absent) deletes what is remembered, and what an interrupted run has left.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds that one class may take.
    type: float
    default: 150
attributes:
  check_mode:
    support: full
    description: Says what is proved already; makes no pod.
  diff_mode:
    support: none
    description: There is never a difference to show.
"""

EXAMPLES = r"""
- name: Prove that the class for media is shared between nodes
  stackgate.k3s.shared_storage:
    namespace: "{{ stackgate_namespace }}"
    storage_classes: ["{{ stackgate_storage_class_shared }}"]
    image: "{{ lookup('stackgate.k3s.image', 'debian') }}"
"""

RETURN = r"""
proofs:
  description: Class to what was proved, now or earlier.
  returned: success
  type: dict
  sample:
    longhorn: two pods shared a volume on node1 and node3, 14 s
unproved:
  description: Class to why it has not been proved yet.
  returned: success
  type: dict
"""
