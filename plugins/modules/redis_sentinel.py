#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_sentinel
short_description: Bring the sentinels of Redis servers to the members and settings that are wanted
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Compares what each sentinel knows with the servers and sentinels that there are to be, and takes one step after the other until they are
    the same. Everybody is asked again before each step, so that a run that was interrupted is continued by the next one.
  - Sentinels find new members by themselves, which the task waits for. They never forget one by themselves. A member that is gone, and
    still counted, is one that a majority needs. Such are forgotten by C(SENTINEL RESET), at one sentinel at a time, after everyone
    else could reach the quorum (C(SENTINEL CKQUORUM)), and the next sentinel only when the one before knows all members again.
  - Nothing is changed while a sentinel is in TILT, finds the master down (ODOWN) or is in the middle of a failover. That is waited for.
  - When the master is a server that is to go, it hands over first to one that stays. Writes are paused, the replica catches up, the
    sentinels promote it, and clients connect anew. A server that is to go as well is kept from being promoted.
  - A sentinel that monitors no master is told whom to monitor. One that cannot log in to the servers is given their password
    (O(monitor_credentials)).
  - Does nothing without O(sentinels).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.redis_members
attributes:
  check_mode:
    description: Tells in RV(plan) what would be done. That what would be waited for comes true is taken for granted.
    support: full
  diff_mode:
    description: Shows the settings and the known members of each sentinel before and after each step.
    support: full
options:
  phase:
    description:
      - V(shrink) only makes sure that the master is not among the servers that go. Run it before the pods are taken away. When there is
        no Service of a member that is to go, it asks nobody.
      - V(grow) does everything else, once the pods are there, or are gone.
      - V(all) does both.
    type: str
    choices: [shrink, grow, all]
    default: all
  quorum:
    description:
      - How many sentinels must find the master down before one of them begins a failover, which needs a majority of all in any case.
      - The default is a majority of O(sentinels).
    type: int
  down_after_ms:
    description:
      - Milliseconds without an answer after which a sentinel finds a member down. Left as it is when not given.
    type: int
  failover_timeout_ms:
    description:
      - Milliseconds that the parts of a failover may take. A failed one is tried again after twice that time. Left as it is when not given.
    type: int
  parallel_syncs:
    description:
      - How many replicas may synchronise with a new master at the same time. Left as it is when not given.
    type: int
  monitor_credentials:
    description:
      - The user that the sentinels log in to the servers as. A sentinel does not tell what it has been given, so it is given anew only
        where it monitors nothing, or gets no answer from a server that has been answering here for a while.
    type: dict
    suboptions:
      secret:
        description:
          - The Secret that has the password.
        type: str
        required: true
      username:
        description:
          - The user's name.
        type: str
        default: sentinel
      key:
        description:
          - The key of the Secret that has the password. The default is O(monitor_credentials.username) followed by C(-password).
        type: str
  timeout:
    description:
      - Seconds that everything may take.
    type: float
    default: 180
seealso:
  - module: stackgate.k3s.redis_rollout
  - module: stackgate.k3s.redis_sentinel_info
"""

EXAMPLES = r"""
- name: Apply | Let the master be a server that stays
  stackgate.k3s.redis_sentinel:
    phase: shrink
    namespace: wesago
    servers: &servers [redis-0, redis-1, redis-2]
    sentinels: &sentinels [redis-sentinel-0, redis-sentinel-1, redis-sentinel-2]
    credentials: {secret: redis-members}

- name: Bootstrap | Have the sentinels know each other and the servers
  stackgate.k3s.redis_sentinel:
    phase: grow
    namespace: wesago
    servers: *servers
    sentinels: *sentinels
    credentials: {secret: redis-members}
    monitor_credentials: {secret: redis-members}
    down_after_ms: 2500
    failover_timeout_ms: 10000
    parallel_syncs: 1
"""

RETURN = r"""
plan:
  description: What was to be done at the beginning, in its order. Waits are left out.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: One of V(switch over), V(monitor), V(set), V(log in), V(enlist), V(forget).
      type: str
    sentence:
      description: What it does.
      type: str
  sample:
    - kind: set
      sentence: "redis-sentinel-0: down-after-milliseconds 30000 -> 2500"
    - kind: forget
      sentence: redis-sentinel-0 forgets redis-3, redis-4
performed:
  description: What was done, also when the task failed after it.
  returned: always
  type: list
  elements: dict
  sample: []
master:
  description: The master's name at the end. Empty when there is none.
  returned: when there are sentinels
  type: str
  sample: redis-0
epoch:
  description: The newest configuration epoch.
  returned: when there are sentinels
  type: int
  sample: 4
servers:
  description: Each server at the end, with the fields of M(stackgate.k3s.redis_sentinel_info).
  returned: when there are sentinels
  type: list
  elements: dict
  sample: [{name: redis-0, role: master}]
sentinels:
  description: Each sentinel at the end, with the fields of M(stackgate.k3s.redis_sentinel_info).
  returned: when there are sentinels
  type: list
  elements: dict
  sample: [{name: redis-sentinel-0, master: redis-0}]
"""
