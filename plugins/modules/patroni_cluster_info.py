#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: patroni_cluster_info
short_description: Tell what each member of a PostgreSQL cluster under Patroni says of itself
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Asks every member at the same time, and returns what each is, who leads, how far the others are behind, and the dynamic configuration.
  - Changes nothing, never waits, and does not fail because of what it sees. To wait until a cluster is sound, use the condition
    C(postgresql) of M(stackgate.k3s.gate).
  - Runs in ansible's own process, where psycopg must be installed. Patroni 3 and 4 are understood.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.patroni_members
  - stackgate.k3s.read_only
options: {}
requirements:
  - psycopg
seealso:
  - module: stackgate.k3s.patroni_cluster
"""

EXAMPLES = r"""
- name: Look at the cluster
  stackgate.k3s.patroni_cluster_info:
    namespace: wesago
    scope: postgresql
    members:
      - {name: postgresql-0, pod: postgresql-0}
      - {name: postgresql-1, pod: postgresql-1}
      - {name: postgresql-2, pod: postgresql-2}
  register: found

- name: Say who leads
  ansible.builtin.debug:
    msg: "leader: {{ found.leader or 'none' }}"
"""

RETURN = r"""
leader:
  description: The leader's name. Empty when there is none.
  returned: always
  type: str
  sample: postgresql-0
timeline:
  description: The leader's timeline.
  returned: always
  type: int
system_id:
  description: The identity of the cluster's data.
  returned: always
  type: str
paused:
  description: Whether the cluster is in maintenance mode.
  returned: always
  type: bool
failsafe:
  description: Whether a member is in failsafe mode, since Patroni does not reach the Kubernetes API.
  returned: always
  type: bool
scheduled_switchover:
  description: A switchover that somebody has scheduled, as words. Empty for none.
  returned: always
  type: str
others:
  description: Members that Patroni knows and that are not listed.
  returned: always
  type: list
  elements: str
configuration:
  description: The dynamic configuration. When no member answers, as it is kept in the Kubernetes API; empty when there is none yet.
  returned: always
  type: dict
secret_volumes:
  description:
    - The Secrets that the members' pods mount, by the names of the volumes, as the StatefulSet of the scope's name has them. Empty when
      there is none, or no namespace is given.
  returned: always
  type: dict
  sample: {tls: postgresql-tls}
members:
  description: Each listed member; the fields are those of M(stackgate.k3s.patroni_cluster).
  returned: always
  type: list
  elements: dict
  sample:
    - name: postgresql-0
      role: leader
      state: the leader
      timeline: 3
"""
