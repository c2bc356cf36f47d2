#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: failover_drill
short_description: Break a replicated store on purpose, and measure what its applications notice
version_added: 0.1.0
description:
  - Writes steadily into a store as its applications do, through their own proxy or pooler. Breaks something, waits until writes are
    accepted again, repairs it, waits until the store is whole, and compares the ledger of what was acknowledged with what is there.
  - B(It breaks what it is told to break.) Applications notice each fault for as long as the result says, and a fault of a node is felt by
    everything on that node. Nothing is broken before the conditions of the store's gate hold, and before writes are accepted.
  - A node that was powered off or cut off is repaired in any case, also when the task fails or is interrupted, by Ctrl-C or otherwise. A
    process of its own waits for the end of this one, and repairs then.
  - The writes come from the machine that runs Ansible, by the API server's port-forward into a proxy on a node that is not broken. Some
    connections are kept until they break, and made anew then, as a pool's. Four times a second a write comes on a connection of its
    own. A write that was refused, or for which there was no connection, is counted
    as C(refused). One whose answer never came is C(unknown), and may be there or not. An acknowledged one that is not there is C(lost).
  - Redis gets two series of writes at the same time. C(plain) ones count when the master has acknowledged them, C(WAIT 1) ones when a
    replica has confirmed them as well. PostgreSQL gets C(commit), a row and a commit at a time.
  - What is written has names of its own (keys C(stackgate:drill:*), the table C(stackgate_drill)), and is removed after each fault.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    description: Tells in RV(plan) what each fault would break at this moment. Nothing is broken, and nothing is written.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
options:
  namespace:
    description:
      - Namespace of the store.
    type: str
    required: true
  redis:
    description:
      - A drill on Redis, reached with these options of M(stackgate.k3s.redis_sentinel_info).
    type: dict
  postgresql:
    description:
      - A drill on PostgreSQL, reached with these options of M(stackgate.k3s.patroni_cluster_info).
    type: dict
  faults:
    description:
      - What is broken, in this order.
      - V(process) kills the process of the leader's server, V(pod) deletes its pod with no grace, V(all_pods) those of all members at once.
      - V(node) powers the leader's node off, V(network) cuts it off the network; both need O(node_commands).
      - V(switchover) has another member take over as before planned maintenance. Nothing is broken.
    type: list
    elements: str
    choices: [process, pod, node, network, switchover, all_pods]
    default: [process, pod, switchover]
  repeat:
    description:
      - How many times all of O(faults) are done.
    type: int
    default: 1
  conditions:
    description:
      - The store's gate, as the option of this name of M(stackgate.k3s.gate). It must hold before a fault, and it is waited for after it.
    type: list
    elements: dict
    required: true
  proxies:
    description:
      - The DaemonSet that applications reach the store through.
    type: str
    required: true
  port:
    description:
      - The port of a proxy's pod that they write to.
    type: int
    required: true
  credentials_secret:
    description:
      - The application's Secret, with the keys V(username) and V(password), and V(database) for PostgreSQL.
    type: str
    required: true
  synchronous:
    description:
      - Whether PostgreSQL acknowledges a commit only when a standby has it, so that none may be lost.
    type: bool
    default: true
  node_commands:
    description:
      - Commands that break and repair a node from this machine, each as a list of words in which C({node}) stands for the node's name.
      - A repair is also tried when the command that breaks has failed half-way. It must do no harm to a node that is well.
    type: dict
    suboptions:
      'off':
        description:
          - Powers a node off at once, as if its plug were pulled.
        type: list
        elements: str
      'on':
        description:
          - Powers it on.
        type: list
        elements: str
      cut:
        description:
          - Cuts it off the network.
        type: list
        elements: str
      heal:
        description:
          - Connects it again.
        type: list
        elements: str
  protected_nodes:
    description:
      - Nodes that are never broken, such as the only server of the control plane. A leader on one of them is moved to another node first.
      - The proxy that is written through is taken on one of them, where there is one.
    type: list
    elements: str
    default: []
  writers:
    description:
      - Connections of each series that are kept, as those of a pool.
    type: int
    default: 2
  interval:
    description:
      - Seconds from one write of a connection to the next.
    type: float
    default: 0.04
  before:
    description:
      - Seconds of steady writing before each fault.
    type: float
    default: 5
  stable:
    description:
      - Seconds for which every write must be accepted after a fault, with no pause of more than a second, before it counts as overcome.
    type: float
    default: 5
  recovery_timeout:
    description:
      - Seconds in which a fault must be overcome. Then it is repaired all the same, and the measuring goes on.
    type: float
    default: 120
  timeout:
    description:
      - Seconds in which the gate must hold, before a fault and after its repair.
    type: float
    default: 300
seealso:
  - module: stackgate.k3s.gate
  - module: stackgate.k3s.redis_sentinel
  - module: stackgate.k3s.patroni_cluster
"""

EXAMPLES = r"""
- name: Drill | See what Redis does without its master
  stackgate.k3s.failover_drill:
    namespace: wesago
    redis:
      servers: [redis-0, redis-1, redis-2]
      sentinels: [redis-sentinel-0, redis-sentinel-1, redis-sentinel-2]
      credentials: {secret: redis-members, username: admin, key: admin-password}
    proxies: redis-proxy
    port: 6379
    credentials_secret: redis
    conditions: "{{ redis_gate }}"
    faults: [process, pod, node, switchover]
    repeat: 3
    node_commands:
      "off": [ssh, "root@ipmi-{node}", power, "off"]
      "on": [ssh, "root@ipmi-{node}", power, "on"]
    protected_nodes: [control-1]
  register: drill

- name: Drill | Show the table
  ansible.builtin.debug:
    msg: "{{ drill.table }}"
"""

RETURN = r"""
plan:
  description: What was broken, or would be, as sentences.
  returned: success
  type: list
  elements: str
  sample: ["delete the pod redis-1 (master, on node2) with no grace"]
runs:
  description: Each fault that was done, in this order. After a failure, too, those before it.
  returned: always, not in check mode
  type: list
  elements: dict
  contains:
    store:
      description: The store.
      type: str
      returned: always
    fault:
      description: The fault.
      type: str
      returned: always
    number:
      description: Which of its repetitions this was.
      type: int
      returned: always
    words:
      description: What was done, as a sentence.
      type: str
      returned: always
    proxy:
      description: The pod that was written through.
      type: str
      returned: always
    recovered:
      description: Whether writes were accepted steadily within O(recovery_timeout), before anything was repaired.
      type: bool
      returned: always
    whole_after:
      description: Seconds from the repair (or from the recovery, when there was nothing to repair) until the gate held.
      type: float
      returned: always
    series:
      description:
        - What became of the writes, for each series.
        - C(seconds) is the longest time between two acknowledged writes from the fault to the recovery, C(later) the longest one
          after that, while the fault was repaired and members came back.
        - C(acknowledged), C(refused), C(unknown), with C(kept) for the unknown ones that are there; C(lost) for acknowledged ones that are
          not there, C(ghosts) for refused ones that are; C(promised) says whether the store promises that none is lost; C(reasons).
      type: list
      elements: dict
      returned: always
summary:
  description: One entry for each fault and series, with C(runs), C(median), C(worst) and C(later) in seconds, and the sums of the counts.
  returned: always, not in check mode
  type: list
  elements: dict
table:
  description: The summary as a Markdown table, line by line.
  returned: always, not in check mode
  type: list
  elements: str
lost:
  description: How many acknowledged writes are not there although the store promises to keep them.
  returned: always, not in check mode
  type: int
"""
