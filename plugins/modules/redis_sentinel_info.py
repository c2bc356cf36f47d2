#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_sentinel_info
short_description: Tell what Redis servers and their sentinels say of themselves and of each other
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Asks every server and every sentinel at the same time, and returns who is master in whose view, the replicas with their links and
    offsets, and what keeps a member from being asked (not reachable, wrong password, loading).
  - Changes nothing, never waits, and does not fail because of what it sees. To wait until everything is in order, use the condition
    C(redis) of M(stackgate.k3s.gate).
  - Runs in ansible's own process, where the Python library redis must be installed. Servers of 6.2 and newer are understood, and Valkey.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.redis_members
  - stackgate.k3s.read_only
options: {}
seealso:
  - module: stackgate.k3s.redis_sentinel
"""

EXAMPLES = r"""
- name: Look at the servers and the sentinels
  stackgate.k3s.redis_sentinel_info:
    namespace: wesago
    servers: [redis-0, redis-1, redis-2]
    sentinels: [redis-sentinel-0, redis-sentinel-1, redis-sentinel-2]
    credentials: {secret: redis-members}
  register: found

- name: Say who is master
  ansible.builtin.debug:
    msg: "master: {{ found.master or 'none' }}; {{ found.seen }}"
"""

RETURN = r"""
healthy:
  description: Whether all conditions of the gate's kind C(redis) hold, but for the write.
  returned: always
  type: bool
seen:
  description: What does not hold, or a summary.
  returned: always
  type: str
  sample: master redis-0, 2 replicas, 3 sentinels of one mind at epoch 4, lag 0 bytes
condition:
  description: Name of the first condition that does not hold. Empty when all do.
  returned: always
  type: str
  sample: replicas
master:
  description: The master's name, by the word of a majority of the sentinels and its own. Empty when there is none.
  returned: always
  type: str
  sample: redis-0
epoch:
  description: The newest configuration epoch that a sentinel holds. It counts the failovers.
  returned: always
  type: int
  sample: 4
servers:
  description: Each server.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    address:
      description: The address that it announces. Empty when it is not known.
      type: str
    trouble:
      description: Why it could not be asked. V(not reachable), V(wrong password), V(loading), V(refused), or empty.
      type: str
    error:
      description: The same in the words of whoever said it.
      type: str
    role:
      description: V(master), V(slave), or empty.
      type: str
    follows:
      description: The master of a replica.
      type: str
    link_up:
      description: Whether a replica is connected to its master.
      type: bool
    offset:
      description: Bytes of the replication stream that it has written or processed.
      type: int
    lag_bytes:
      description: Bytes by which it is behind the master.
      type: int
    priority:
      description: Its C(replica-priority). 0 is never promoted.
      type: int
    version:
      description: Version of the server.
      type: str
    uptime_s:
      description: Seconds since its start.
      type: int
sentinels:
  description: Each sentinel.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    address:
      description: The address that it announces. Empty when it is not known.
      type: str
    trouble:
      description: Why it could not be asked, as of a server.
      type: str
    error:
      description: The same in the words of whoever said it.
      type: str
    master:
      description: Whom it names as master. Empty when it monitors none of that name.
      type: str
    epoch:
      description: The epoch of its configuration.
      type: int
    flags:
      description: Its flags of the master, such as V(s_down), V(o_down), V(failover_in_progress).
      type: list
      elements: str
    tilt:
      description: Whether it is in TILT, and does nothing.
      type: bool
    quorum:
      description: How many sentinels must find the master down.
      type: int
    quorum_error:
      description: Why a failover could not be authorised now. Empty when it could.
      type: str
    replicas:
      description: The replicas that it knows.
      type: list
      elements: str
    sentinels:
      description: The other sentinels that it knows.
      type: list
      elements: str
    version:
      description: Version of the sentinel.
      type: str
"""
