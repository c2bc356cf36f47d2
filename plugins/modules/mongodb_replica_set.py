#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mongodb_replica_set
short_description: Bring up a MongoDB replica set, and change its members by a plan of safe steps
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Asks B(every) member what it is before it decides anything. From that it makes a plan, an ordered list of steps that the servers
    accept and that never leave the set without a majority, and carries it out step by step, with another look at all members
    before each. The task returns the plan and what was done of it. With C(--check) it returns the plan and does nothing; with
    C(--diff) each step shows the configuration before and after.
  - A set is initiated only when B(no) member belongs to one, on one member that is always chosen the same way. When a member belongs to
    the set already, the others are added to it. A member that came back with an empty disk is left to the set, which fills it again.
  - One voting member changes at a time. A new member is added without a vote, and gets it when it has caught up with the others. A member
    that leaves gives up being primary first; its vote and its place go in one step.
  - What this task was not told of stays as it is. Fields that it does not know, and C(_id) numbers of members, are carried along.
    A number is never given to another host, because the set would take it for the same voter. Priority, votes, hidden, delay and arbiter
    are made what is given or what is their default; indexes, tags, horizons and settings that are not given are left alone.
  - Each reconfiguration names the version it is meant to follow. When somebody else, or the server itself, has changed the configuration
    meanwhile, the plan is made anew.
  - Killed at any moment, the next run goes on from what it finds. Nothing is kept on the control node.
  - It stops, and names who and why, when members belong to two different sets, when a member belongs to a set of another name, was started
    without C(--replSet), has another key file, does not find itself in its own configuration, or is empty of a configuration but
    full of data. A member that does not answer is waited for until O(timeout), and named with how long that was.
  - It never forces a reconfiguration unless it was told so for this run, see O(consents).
  - Users are made with SCRAM-SHA-256. The first one, the administrator, is made through the localhost exception, which is there as long
    as no user is, and to which a member reached by O(members[].pod) answers. Whether a password is right is found out by logging in
    with it, so a run with nothing to do writes nothing.
  - No password is printed, returned or shown in a difference.
  - Runs in ansible's own process, where pymongo must be installed. Servers of 4.4 and newer are understood.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.mongodb_members
attributes:
  check_mode:
    support: full
    description:
      - Returns the plan as far as it can be predicted, and changes nothing. Pods and Secrets that do not exist are taken for ones that the
        run makes before this task, such pods for new and empty members.
  diff_mode:
    support: full
    description: The configuration before and after each step.
options:
  settings:
    description:
      - Settings of the set, by the server's names - C(electionTimeoutMillis), C(heartbeatTimeoutSecs), C(heartbeatIntervalMillis),
        C(catchUpTimeoutMillis), C(catchUpTakeoverDelayMillis), C(chainingAllowed), C(getLastErrorModes).
      - Settings that are not listed stay as they are.
    type: dict
    default: {}
  users:
    description:
      - Users of the set besides the administrator, who is made from O(credentials_secret). Users that are not listed stay as they are.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The user's name.
        type: str
        required: true
      database:
        description:
          - The database that the user logs in to (C(authSource)).
        type: str
        default: admin
      roles:
        description:
          - All roles of the user. Others are taken away. A text is a role of O(users[].database), a mapping with C(role) and C(db) is
            one of another database.
          - The least that programs need is C(readWrite) on the application's own database for the application, C(clusterMonitor)
            with C(read) on C(local) for an exporter, and C(backup) for a backup.
        type: list
        elements: raw
        default: []
      password_secret:
        description:
          - The Secret that has the password.
        type: str
      password_key:
        description:
          - The key of the password in that Secret.
        type: str
        default: password
      password:
        description:
          - The password, in place of O(users[].password_secret).
        type: str
  update_password:
    description:
      - What to do about a user that exists with another password than the one given. V(on_create) leaves it and warns, V(always) sets it.
      - The administrator's password is never changed, since without it nobody may.
    type: str
    choices: [on_create, always]
    default: on_create
  phase:
    description:
      - V(all) brings the set to what O(members), O(settings) and O(users) say.
      - V(shrink) only takes members out that are not listed, with what that needs, and does nothing when there are none or no set
        is there yet. It belongs before the pods are scaled down.
      - V(grow) belongs after a task with V(shrink), and after the pods are scaled up. It does what V(all) does. In check mode it takes
        for granted that the other task has done its part, so that the two together tell what the run does.
    type: str
    choices: [all, shrink, grow]
    default: all
  consents:
    description:
      - What may be done that loses something. Give these on the command line for one run, not in a file.
      - C(keep_data:<member>) initiates the set on this member, which has data and no configuration. Its data become the set's.
      - C(discard_data:<member>) lets this member, which has data and no configuration, into the set. Its data are lost.
      - C(forced_reconfiguration) lets a set that has lost the majority of its voting members for good go on with those that are left.
        Without it the task says which members are left, how far each has got, which one would be the base, and which acknowledged
        writes may be lost, and stops.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds for everything, waiting included. An initial sync of a new member counts, so give more where there is much data. A run that
        ends here can simply be repeated.
    type: float
    default: 180
requirements:
  - pymongo
notes:
  - The order of a plan. New members are added without vote and priority. Each gets its vote, and with it all else that was asked for, once
    it is C(SECONDARY). Then come arbiters, then priorities, tags, hidden and delay of all members in one step. Then members and votes
    that are not wanted any more go, one at a time, those that do not answer first and the primary last. Horizons and settings
    come at the end. So a replacement grows the set before it shrinks it.
  - With seven voting members there is no room to grow first, and one goes before the next one comes. An arbiter that replaces an arbiter
    comes after it, because it has no data to wait for.
  - A step is taken only when the voting members that can be counted on are a majority before and after it. Else the task waits for those
    that are on their way, or names those that are missing.
  - A primary that is to go, or may not be primary any more, steps down for 60 seconds to a secondary that has caught up within 10. It is
    never forced to.
  - Where arbiters come or go, servers since 5.0 demand that somebody has set a default write concern. If nobody has, the plan sets it to
    C(majority). It can be changed afterwards (C(setDefaultRWConcern)), and not be unset.
  - An arbiter that turns into a member with data, or the other way round, is removed and added anew. Give it an empty volume. The same is
    true of O(members[].build_indexes).
  - With access control an arbiter, which holds no users, keeps the localhost exception open on its own loopback. Whoever may open a
    port-forward to its pod can use it.
  - When everything is as asked for, nothing is waited for. Whether the set is healthy is what the condition C(mongodb) of
    M(stackgate.k3s.gate) tells.
seealso:
  - module: stackgate.k3s.mongodb_replica_set_info
  - module: stackgate.k3s.mongodb_rollout
  - module: stackgate.k3s.generated_secret
  - module: stackgate.k3s.gate
"""

EXAMPLES = r"""
- name: Bring up a set of three with its users, through the API server
  stackgate.k3s.mongodb_replica_set:
    namespace: chathub
    name: rs0
    credentials_secret: mongodb-admin
    members:
      - name: mongodb-0
        pod: mongodb-0
        host: mongodb-0.mongodb-members.chathub.svc.cluster.local:27017
      - name: mongodb-1
        pod: mongodb-1
        host: mongodb-1.mongodb-members.chathub.svc.cluster.local:27017
      - name: mongodb-2
        pod: mongodb-2
        host: mongodb-2.mongodb-members.chathub.svc.cluster.local:27017
    users:
      - name: chathub
        database: chathub
        roles: [readWrite]
        password_secret: mongodb-chathub
      - name: exporter
        roles:
          - clusterMonitor
          - role: read
            db: local
        password_secret: mongodb-exporter

# From here on `mongodb` stands for the list above.

- name: Grow from three members to five (the new pods run already)
  stackgate.k3s.mongodb_replica_set:
    namespace: chathub
    name: rs0
    credentials_secret: mongodb-admin
    members: "{{ mongodb + more }}"
  vars:
    more:
      - pod: mongodb-3
        host: mongodb-3.mongodb-members.chathub.svc.cluster.local:27017
      - pod: mongodb-4
        host: mongodb-4.mongodb-members.chathub.svc.cluster.local:27017

- name: Shrink to three again, before the pods are taken away
  stackgate.k3s.mongodb_replica_set:
    namespace: chathub
    name: rs0
    credentials_secret: mongodb-admin
    members: "{{ mongodb }}"
    phase: shrink

- name: Servers that are no pods, without access control; db1 is to be the primary
  stackgate.k3s.mongodb_replica_set:
    name: rs0
    members:
      - host: db1.example.org:27017
        priority: 2
      - host: db2.example.org:27017
      - host: db3.example.org:27017
    settings:
      electionTimeoutMillis: 5000

- name: Two members with data and an arbiter (the default write concern is set first, as servers since 5.0 want it)
  stackgate.k3s.mongodb_replica_set:
    name: rs0
    members:
      - host: db1.example.org:27017
      - host: db2.example.org:27017
      - host: small.example.org:27017
        arbiter: true

- name: A fourth member that stays an hour behind and that clients do not see
  stackgate.k3s.mongodb_replica_set:
    name: rs0
    members:
      - host: db1.example.org:27017
      - host: db2.example.org:27017
      - host: db3.example.org:27017
      - host: db4.example.org:27017
        hidden: true
        votes: 0
        secondary_delay_s: 3600

- name: Replace db3 by db5 (db5 is added and has caught up before db3 leaves)
  stackgate.k3s.mongodb_replica_set:
    name: rs0
    members:
      - host: db1.example.org:27017
      - host: db2.example.org:27017
      - host: db5.example.org:27017
    timeout: 3600

# A member whose disk was lost needs no task of its own: started with an empty one under its old host, it is filled by the set. This task
# has nothing to do then; the gate waits until the member is a secondary again.

- name: See what would be done, and each configuration (the same as --check --diff for one task)
  stackgate.k3s.mongodb_replica_set:
    namespace: chathub
    name: rs0
    credentials_secret: mongodb-admin
    members: "{{ mongodb }}"
  check_mode: true
  diff: true
  register: planned

- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.plan | map(attribute='sentence') }}"

# Two of three members are gone for good. First without consent: the task fails and says what is left and what would be lost.
# Then, for this run only: ansible-playbook ... -e '{"mongodb_consents": ["forced_reconfiguration"]}'
- name: Go on with the members that are left, by force
  stackgate.k3s.mongodb_replica_set:
    namespace: chathub
    name: rs0
    credentials_secret: mongodb-admin
    members: "{{ mongodb }}"
    consents: "{{ mongodb_consents | default([]) }}"
"""

RETURN = r"""
plan:
  description:
    - The whole plan as it was predicted at the beginning, waits and users included. Empty when there was nothing to do.
    - When somebody else changes the set meanwhile, what is done may differ; see RV(performed).
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description:
        - One of C(initiate), C(add member), C(add arbiter), C(grant vote), C(drop vote), C(remove member), C(change members),
          C(change settings), C(step down), C(set default write concern), C(force reconfiguration), C(wait for primary),
          C(wait for member), C(wait for configuration), C(user).
      type: str
    sentence:
      description: What the step does.
      type: str
  sample:
    - kind: add member
      sentence: add mongodb-3 (mongodb-3.mongodb-members.chathub.svc.cluster.local:27017) as member 3 without a vote
    - kind: wait for member
      sentence: wait until mongodb-3 is SECONDARY (it is STARTUP2)
    - kind: grant vote
      sentence: give mongodb-3 its vote
performed:
  description: What was done, in order; like RV(plan), without the waits.
  returned: always
  type: list
  elements: dict
  sample: []
reason:
  description: A word for what stands in the way, such as C(unreachable), C(two sets), C(wrong key), C(no majority), C(user data).
  returned: when the set is in no state for a plan
  type: str
  sample: no majority
recovery:
  description:
    - What is known of a set that has lost its majority, to decide on the consent C(forced_reconfiguration).
  returned: when too few voting members are left
  type: dict
  contains:
    best:
      description: The member with the newest data, from which the set would go on.
      type: str
    survivors:
      description: The members that answer, the newest data first, each with its last write and the seconds that it is behind the first.
      type: list
      elements: dict
    missing:
      description: The members that do not answer, and why.
      type: dict
    lost:
      description: Sentences about the writes that may be lost.
      type: list
      elements: str
    members:
      description: The members that the set would have.
      type: list
      elements: str
report:
  description: The same as RV(recovery), as text for people.
  returned: when too few voting members are left
  type: str
set_id:
  description: The identity of the replica set, made at its initiation.
  returned: always
  type: str
  sample: 6920521e8a4f3c0b5d2e7f11
primary:
  description: The primary's name. Empty when there is none.
  returned: always
  type: str
  sample: mongodb-0
feature_compatibility_version:
  description: The primary's feature compatibility version.
  returned: always
  type: str
  sample: '7.0'
config:
  description: The configuration of the set at the end, as the server keeps it. Empty when there is none, or none that may be read.
  returned: always
  type: dict
  sample: {_id: rs0, version: 5, term: 2, members: []}
members:
  description: Each member as it is at the end.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    host:
      description: Its address in the set.
      type: str
    standing:
      description:
        - What it is to the set, one of C(member), C(uninitialised), C(removed), C(standalone), C(unreachable), C(wrong set name),
          C(wrong key), C(needs login).
      type: str
    state:
      description: Its state as a member, such as C(PRIMARY).
      type: str
    error:
      description: Why it did not answer, or what it refused.
      type: str
    set_id:
      description: The set that it belongs to.
      type: str
    set_name:
      description: The name of that set.
      type: str
    config_version:
      description: The version of the configuration that it knows.
      type: int
    config_term:
      description: The term of that configuration; -1 after a forced one.
      type: int
    priority:
      description: Its priority in that configuration.
      type: float
    votes:
      description: Its votes.
      type: int
    hidden:
      description: Whether clients do not see it.
      type: bool
    arbiter:
      description: Whether it holds no data.
      type: bool
    secondary_delay_s:
      description: Seconds that it stays behind on purpose.
      type: int
    primary:
      description: The host that it takes for the primary.
      type: str
    lag_s:
      description: Seconds that it is behind the primary. Of secondaries only.
      type: float
    version:
      description: The server's version.
      type: str
    clock_offset_s:
      description: Seconds that its clock is ahead of the control node's.
      type: float
"""
