#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: patroni_cluster
short_description: Configure a PostgreSQL cluster under Patroni, with its roles, databases and extensions
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Waits until the cluster has a leader that takes writes, then makes Patroni's dynamic configuration, the roles, the databases, their
    owners, who may connect to them, and their extensions what they are asked to be. The task returns the plan and what was done of it.
    With C(--check) it returns the plan and does nothing.
  - What this task was not told of stays as it is, such as other roles, databases, extensions, and names of the dynamic configuration.
  - A password is compared with the verifier that the server keeps of it, without a login, and set only when it is another one. The verifier
    (SCRAM-SHA-256) is computed on the control node, so that no password reaches the server or its log. No password is printed, returned or
    shown in a difference.
  - A parameter of PostgreSQL that needs a restart of the server is not in force yet when the task ends. M(stackgate.k3s.patroni_rollout)
    restarts the servers, the leader last.
  - When the leader changes meanwhile, the task looks again and goes on with the new one. Killed at any moment, the next run goes on from
    what it finds. Nothing is kept on the control node.
  - Runs in ansible's own process, where psycopg must be installed. Patroni 3 and 4 are understood.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.patroni_members
attributes:
  check_mode:
    support: full
    description:
      - Returns the plan as far as it can be predicted, and changes nothing. Pods and Secrets that do not exist are taken for ones that the
        run makes before this task, and a cluster without a leader for an empty one.
  diff_mode:
    support: full
    description: The dynamic configuration before and after, and a line for each statement.
options:
  settings:
    description:
      - What is wanted of the dynamic configuration, by Patroni's names, such as C(ttl), C(loop_wait), C(retry_timeout),
        C(synchronous_mode), C(failsafe_mode), C(slots), and C(postgresql) with C(parameters).
      - Mappings are merged into what is there, V(null) takes a name away.
    type: dict
    default: {}
  roles:
    description:
      - Roles that the cluster is to have. Their privileges and memberships are made what is given or what is the default.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The role's name.
        type: str
        required: true
      login:
        description:
          - Whether it may log in.
        type: bool
        default: true
      superuser:
        description:
          - Whether it is a superuser.
        type: bool
        default: false
      createdb:
        description:
          - Whether it may create databases.
        type: bool
        default: false
      createrole:
        description:
          - Whether it may create roles.
        type: bool
        default: false
      replication:
        description:
          - Whether it may replicate.
        type: bool
        default: false
      connection_limit:
        description:
          - How many connections it may have at once, -1 for any number.
        type: int
        default: -1
      member_of:
        description:
          - All roles that it is a member of, such as C(pg_monitor). Others are taken away.
        type: list
        elements: str
        default: []
      password_secret:
        description:
          - The Secret that has the password. Without it, and without O(roles[].password), the password is left alone.
        type: str
      password_key:
        description:
          - The key of the password in that Secret.
        type: str
        default: password
      password:
        description:
          - The password, in place of O(roles[].password_secret).
        type: str
  databases:
    description:
      - Databases that the cluster is to have.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The database's name.
        type: str
        required: true
      owner:
        description:
          - The role that owns it. It may do everything there, and owns the schema C(public) (since PostgreSQL 15).
          - When it changes, what the former owner made in the database stays the former owner's.
        type: str
        required: true
      extensions:
        description:
          - Extensions that it has, with those that they need.
        type: list
        elements: str
        default: []
      connect:
        description:
          - All roles that may connect to it besides the owner and superusers. Others lose that right.
        type: list
        elements: str
        default: []
      public:
        description:
          - Whether every role may connect to it and make temporary tables there, as PostgreSQL has it when nobody says otherwise.
        type: bool
        default: false
  update_password:
    description:
      - What to do about a role that exists with another password than the one given. V(always) sets it, V(on_create) leaves it and warns.
    type: str
    choices: [on_create, always]
    default: always
  phase:
    description:
      - V(all) and V(grow) do everything that is described above. When every listed member is there, replication slots of members that are
        not listed and have gone are let go of, too, since they keep WAL for nobody. V(grow) belongs after the pods are scaled, and first
        waits until members that are not listed have gone; and up to 30 seconds until the server takes their slots for free, and all
        listed members stream.
      - V(shrink) only has the leader hand over when it is a member that is not listed, and does nothing when it is not, or no cluster is
        there yet. It belongs before the pods are scaled down.
      - V(forget) deletes what Patroni keeps of the cluster in the Kubernetes API, its ConfigMaps, and asks no member. Without that, new
        members with empty volumes would wait for a leader that will never come. It belongs after pods B(and volumes) have been deleted, and
        waits until no pod of the StatefulSet of that name is left.
    type: str
    choices: [all, shrink, grow, forget]
    default: all
  timeout:
    description:
      - Seconds for everything, waiting included. A run that ends here can simply be repeated.
    type: float
    default: 180
requirements:
  - psycopg
notes:
  - Whether the cluster is healthy is what the condition C(postgresql) of M(stackgate.k3s.gate) tells. This task needs a leader only.
seealso:
  - module: stackgate.k3s.patroni_cluster_info
  - module: stackgate.k3s.patroni_rollout
  - module: stackgate.k3s.generated_secret
  - module: stackgate.k3s.gate
"""

EXAMPLES = r"""
- name: Bootstrap | Make the forum's database
  stackgate.k3s.patroni_cluster:
    namespace: wesago
    scope: postgresql
    members: &members
      - {name: postgresql-0, pod: postgresql-0}
      - {name: postgresql-1, pod: postgresql-1}
      - {name: postgresql-2, pod: postgresql-2}
    credentials_secret: postgresql-members
    settings:
      synchronous_mode: true
      postgresql:
        parameters:
          max_connections: 120
          work_mem: 8MB
    roles:
      - name: misago
        password_secret: postgresql
      - name: exporter
        password_secret: postgresql-members
        password_key: exporter-password
        member_of: [pg_monitor]
    databases:
      - name: misago
        owner: misago
        extensions: [hstore, btree_gin]

- name: Apply | Move the leader off the members that are to go
  stackgate.k3s.patroni_cluster:
    namespace: wesago
    scope: postgresql
    members: *members
    credentials_secret: postgresql-members
    phase: shrink

- name: Servers that are no pods
  stackgate.k3s.patroni_cluster:
    scope: main
    members:
      - {name: db1, host: db1.example.org}
      - {name: db2, host: db2.example.org}
    login_user: postgres
    login_password: "{{ postgres_password }}"
    rest_user: patroni
    rest_password: "{{ patroni_password }}"
    databases:
      - {name: wiki, owner: postgres}
"""

RETURN = r"""
plan:
  description: The whole plan as it was predicted at the beginning, as sentences. Empty when there was nothing to do.
  returned: always
  type: list
  elements: str
  sample:
    - set postgresql.parameters.max_connections 120 in place of 100
    - create role misago (login)
    - create database misago of misago
    - let only its users connect to database misago
    - create extension hstore in database misago
performed:
  description: What was done of it. After a failure, too.
  returned: always
  type: list
  elements: str
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
  description: The dynamic configuration.
  returned: always
  type: dict
members:
  description: Each listed member.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    role:
      description: C(leader), C(sync_standby), C(quorum_standby) or C(replica), in Patroni's words.
      type: str
    state:
      description: What it does, in a few words.
      type: str
    error:
      description: Why it did not answer. Empty when it did.
      type: str
    timeline:
      description: The timeline that it is on.
      type: int
    lag_bytes:
      description: Bytes of WAL that a replica has not received yet.
      type: int
    synchronous:
      description: Whether commits wait for it.
      type: bool
    pending_restart:
      description: Parameters that wait for a restart of its server.
      type: list
      elements: str
    server_version:
      description: PostgreSQL's version as a number, such as V(170005).
      type: int
    patroni_version:
      description: Patroni's version.
      type: str
    started:
      description: When its server was started.
      type: str
"""
