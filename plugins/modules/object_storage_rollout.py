#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: object_storage_rollout
short_description: Restart the servers of an object storage without losing its quorum
version_added: 0.1.0
description:
  - Brings the pods of MinIO servers to the revision that their StatefulSets want. The StatefulSets have the update strategy C(OnDelete),
    so that nothing restarts before this task.
  - Servers that must agree (image, command, arguments, environment, and what an annotation C(stackgate.k3s/checksum...) of the pod template
    stands for) restart all at once, as upstream demands for a new version and for a new pool. That interrupts service for some seconds,
    which clients bridge by trying again.
  - Any other change goes one pod at a time. Before each, the server in that very pod must say that the store keeps its write quorum without
    it (C(/minio/health/cluster?maintenance=true)), and no drive may be healing; after each, its drives must be back, and healed.
  - A pod that does not run is replaced first, since that takes nothing away. So a revision that cannot start is repaired by the next one.
  - To restart the servers without another change, change an annotation of the pod template, such as C(stackgate.k3s/restart).
  - Remembers nothing. A run that was interrupted is continued by the next one. With nothing to do no server is asked.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.object_storage
options:
  stateful_sets:
    description: The StatefulSets of all pools.
    type: list
    elements: str
    required: true
  how:
    description:
      - V(auto) decides as told above, V(rolling) goes one pod at a time in any case, V(at_once) restarts all outdated pods together without
        asking the store.
    type: str
    choices: [auto, rolling, at_once]
    default: auto
  timeout:
    description: Seconds that each thing that is waited for may take, such as permission to go on, or a server's return with its drives.
    type: float
    default: 300
attributes:
  check_mode:
    support: full
    description: Tells which pods would restart, how, and why.
  diff_mode:
    support: none
    description: There is never a difference to show.
seealso:
  - module: stackgate.k3s.object_storage
  - module: stackgate.k3s.manifest
"""

EXAMPLES = r"""
- name: Bootstrap | Give the servers their new version
  stackgate.k3s.object_storage_rollout:
    namespace: "{{ stackgate_namespace }}"
    stateful_sets: [object-storage, object-storage-2]
    port: 9000
    credentials:
      secret: object-storage-root
"""

RETURN = r"""
restarted:
  description: The pods that were restarted, or would be.
  returned: always
  type: list
  elements: str
  sample: [object-storage-0, object-storage-1]
how:
  description: V(rolling) or V(at_once); empty when there was nothing to do.
  returned: success
  type: str
reason:
  description: Why so.
  returned: success
  type: str
  sample: all servers must have the same image
"""
