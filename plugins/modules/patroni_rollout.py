#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: patroni_rollout
short_description: Restart the members of a PostgreSQL cluster under Patroni one after the other, the leader last
version_added: 0.1.0
description:
  - Brings the pods of a cluster's members to the revision that their StatefulSet wants (a new image, another memory limit). The StatefulSet
    has the update strategy C(OnDelete), so that nothing restarts before this task.
  - Replicas go first, one that commits wait for after the others, and the leader last, after it has handed over to a replica by a
    switchover. Before that it writes a checkpoint, so that writes wait as short as possible.
  - Before each member and after it the whole cluster must be in order, as the condition C(postgresql) of M(stackgate.k3s.gate) says it,
    one leader, every other member streaming from it on its timeline, within O(max_lag), commits synchronous or not as wanted. A cluster
    that does not come into order stops the task before the next member is touched.
  - A member without a server by its own word, or whose pod does not run, is restarted first, since that takes nothing away. So a revision
    that cannot start is repaired by the next one.
  - Then servers that wait for a restart because of a parameter are restarted in their pods, by Patroni, in the same order. A parameter that
    was made smaller, which PostgreSQL wants so on the leader first, costs a restart of the leader where it is.
  - Nothing is remembered between two members but what the cluster and Patroni say themselves. A run that was interrupted is continued by
    the next one.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.patroni_members
  - stackgate.k3s.rollout
attributes:
  check_mode:
    description:
      - Tells in RV(plan) which members would be restarted in which order, and why. A failover may make another member the leader meanwhile.
    support: full
options:
  max_lag:
    description:
      - Bytes of WAL that a replica may be behind the leader when another member is restarted.
    type: int
    default: 16777216
  synchronous:
    description:
      - Whether commits must wait for a replica (V(true)), must not (V(false)), or either is right (not given).
    type: bool
  timeout:
    description:
      - Seconds that the cluster may take to come into order before and after each member. A member that has to copy all data needs more.
    type: float
    default: 600
requirements:
  - psycopg
seealso:
  - module: stackgate.k3s.patroni_cluster
  - module: stackgate.k3s.gate
"""

EXAMPLES = r"""
- name: Bootstrap | Bring every member to the wanted revision
  stackgate.k3s.patroni_rollout:
    namespace: wesago
    scope: postgresql
    members:
      - {name: postgresql-0, pod: postgresql-0}
      - {name: postgresql-1, pod: postgresql-1}
      - {name: postgresql-2, pod: postgresql-2}
    credentials_secret: postgresql-members
    synchronous: true
"""

RETURN = r"""
plan:
  description: What was done, or would be, in its order, as sentences.
  returned: always
  type: list
  elements: str
  sample:
    - "restart postgresql-2 (replica): revision 5d8f7c -> 77b9c4"
    - "restart postgresql-1 (synchronous replica): revision 5d8f7c -> 77b9c4"
    - postgresql-0 hands over to postgresql-1
    - "restart postgresql-0 (leader): revision 5d8f7c -> 77b9c4"
restarted:
  description: The members that were restarted, in this order, by name. After a failure, too, those that had been restarted before it.
  returned: always
  type: list
  elements: str
"""
