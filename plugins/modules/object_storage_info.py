#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: object_storage_info
short_description: What an object storage has, and how it is
version_added: 0.1.0
description:
  - Reads buckets with their settings, users with their policies, and the health of servers and drives. No secret is returned.
  - Answers without write quorum as well; then C(health.writable) is false and C(health.trouble) says what is missing.
  - On a server without MinIO's administration, C(health.drives) and C(users) are empty.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.object_storage
  - stackgate.k3s.read_only
options:
  service:
    description: The Service in front of the servers. Its ready pods are asked. Either this or O(url).
    type: str
  url:
    description: The address of the store, as C(http[s]://host[:port]), reached from the control node.
    type: str
seealso:
  - module: stackgate.k3s.object_storage
"""

EXAMPLES = r"""
- name: Ask how the object storage is
  stackgate.k3s.object_storage_info:
    namespace: "{{ stackgate_namespace }}"
    service: object-storage
    credentials:
      secret: object-storage-root
  register: storage

- name: Stop when a drive is missing
  ansible.builtin.assert:
    that: storage.health.trouble == ''
    fail_msg: "{{ storage.health.trouble }}"
"""

RETURN = r"""
health:
  description: What the servers say.
  returned: success
  type: dict
  contains:
    writable:
      description: Whether there is write quorum in every erasure set.
      type: bool
    readable:
      description: Whether there is read quorum in every erasure set.
      type: bool
    trouble:
      description: What is wrong with the drives, as a sentence; empty when all are there and none is healing.
      type: str
    write_quorum:
      description: Drives of a set that must be there to write.
      type: int
    drives:
      description: Counts of drives C(total), C(online), C(healing), and the C(missing) ones by name.
      type: dict
    versions:
      description: The versions that the servers run.
      type: list
      elements: str
buckets:
  description: Name to C(versioning), C(quota) (bytes, 0 for none), C(retention) (none without object lock) and C(lifecycle).
  returned: success
  type: dict
users:
  description: Name to C(enabled) and C(policies).
  returned: success
  type: dict
"""
