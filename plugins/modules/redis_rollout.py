#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_rollout
short_description: Restart Redis sentinels and servers one after the other, the master last
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Brings the pods of servers and sentinels to the revision that their StatefulSets want (a new image, other settings, another memory
    limit). The StatefulSets have the update strategy C(OnDelete), so that nothing restarts before this task.
  - Sentinels go first, one at a time, then the replicas, the master last, after it has handed over to a replica that has every write.
    Writes wait for about half a second then, and none is lost.
  - Before each member and after it, everything must be in order, as the C(redis) condition of M(stackgate.k3s.gate) says it, the sentinels
    of one mind, all links up, all replicas close behind, the quorum within reach. What does not come into order stops the task before the
    next member is touched.
  - A member whose server does not run is restarted first, since that takes nothing away. So a revision that cannot start is repaired by the
    next one.
  - Nothing is remembered between two members but what the cluster and the members say themselves. A run that was interrupted is continued
    by the next one.
  - When no pod is to be replaced, the task asks no member anything.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.redis_members
  - stackgate.k3s.rollout
attributes:
  check_mode:
    description:
      - Tells in RV(plan) which members would be restarted in which order, and why. A failover may make another server the master until
        then.
    support: full
options:
  max_lag_bytes:
    description:
      - Bytes of the replication stream that a replica may be behind when another member is restarted.
    type: int
    default: 1048576
  timeout:
    description:
      - Seconds that everything may take to come into order, before each member and after the last.
    type: float
    default: 300
seealso:
  - module: stackgate.k3s.redis_sentinel
"""

EXAMPLES = r"""
- name: Bootstrap | Bring every member up to date
  stackgate.k3s.redis_rollout:
    namespace: wesago
    servers: [redis-0, redis-1, redis-2]
    sentinels: [redis-sentinel-0, redis-sentinel-1, redis-sentinel-2]
    credentials: {secret: redis-members}
    changing: "{{ applied.objects | selectattr('new_pods') | map(attribute='name') }}"

- name: Restart | Restart a server that stands alone
  stackgate.k3s.redis_rollout:
    namespace: wesago
    servers: [redis-0]
    credentials: {secret: redis, username: default, key: password}
    restart: true
"""

RETURN = r"""
plan:
  description: What was done, or would be, in its order, as sentences.
  returned: success
  type: list
  elements: str
  sample:
    - "restart redis-sentinel-0 (sentinel): revision 5d8f7c -> 77b9c4"
    - "restart redis-2 (replica): revision 5d8f7c -> 77b9c4"
    - redis-0 hands over to another server
    - "restart redis-0 (replica): revision 5d8f7c -> 77b9c4"
restarted:
  description:
    - The members that were restarted, in this order, by name.
    - After a failure, too, those that had been restarted before it.
  returned: always
  type: list
  elements: str
"""
