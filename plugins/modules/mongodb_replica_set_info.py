#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mongodb_replica_set_info
short_description: Tell what each member of a MongoDB replica set says of itself
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Asks every member at the same time, and those that they name besides, and returns what each is (in the set, uninitialised, removed,
    of another set, unreachable and why), its state, its configuration's version, its lag and its clock.
  - Changes nothing, never waits, and does not fail because of what it sees. To wait until a set is sound, use the condition C(mongodb) of
    M(stackgate.k3s.gate).
  - Runs in ansible's own process, where pymongo must be installed. Servers of 4.4 and newer are understood.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.mongodb_members
  - stackgate.k3s.read_only
options: {}
requirements:
  - pymongo
seealso:
  - module: stackgate.k3s.mongodb_replica_set
"""

EXAMPLES = r"""
- name: Look at the set
  stackgate.k3s.mongodb_replica_set_info:
    namespace: chathub
    name: rs0
    credentials_secret: mongodb-admin
    members:
      - pod: mongodb-0
        host: mongodb-0.mongodb-members.chathub.svc.cluster.local:27017
      - pod: mongodb-1
        host: mongodb-1.mongodb-members.chathub.svc.cluster.local:27017
      - pod: mongodb-2
        host: mongodb-2.mongodb-members.chathub.svc.cluster.local:27017
  register: found

- name: Say who is primary
  ansible.builtin.debug:
    msg: "primary: {{ found.primary or 'none' }}"
"""

RETURN = r"""
sets:
  description: The identities of the replica sets that were found, each with the names of its members. More than one is trouble.
  returned: always
  type: dict
  sample:
    6920521e8a4f3c0b5d2e7f11: [mongodb-0, mongodb-1, mongodb-2]
set_id:
  description: The identity of the set that the primary belongs to, or of the one that was found.
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
  description: The newest configuration that was found. Empty when there is none, or none that may be read.
  returned: always
  type: dict
  sample: {_id: rs0, version: 5, term: 2, members: []}
members:
  description: Each member; the fields are those of M(stackgate.k3s.mongodb_replica_set).
  returned: always
  type: list
  elements: dict
  sample:
    - name: mongodb-0
      host: mongodb-0.mongodb-members.chathub.svc.cluster.local:27017
      standing: member
      state: PRIMARY
"""
