#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mongodb_rollout
short_description: Restart the members of a MongoDB replica set one after the other, the primary last
version_added: 0.1.0
description:
  - Brings the pods of a replica set's members to the revision that their StatefulSets want (a new image, other arguments, another memory
    limit). The StatefulSets have the update strategy C(OnDelete), so that nothing restarts before this task.
  - Members whose absence is felt least go first, then the secondaries by priority, the primary last, after it has handed over to another
    member (C(replSetStepDown)). A step-down that the server refuses because nobody has caught up is tried again, and never forced.
  - Before each member and after it, the whole set must be in order, as the C(mongodb) condition of M(stackgate.k3s.gate) says it, a
    primary that a majority sees, every member in its state, one configuration, all close behind the primary, their clocks together.
    A set that does not come into order stops the task before the next member is touched.
  - A member that is out of service by its own word, or whose pod does not run, is restarted first, since that takes nothing away. So a
    revision that cannot start is repaired by the next one.
  - Nothing is remembered between two members but what the cluster and the set say themselves. A run that was interrupted is continued by
    the next one.
  - A pod is restarted when it is of another revision than its StatefulSet wants, when O(restart) says so, or in the phases of a key
    rotation (O(rotate_key)). When there is none, the task asks no member anything, but for O(feature_compatibility_version).
  - Also raises the feature compatibility version (FCV), once every member has run the new release for long enough.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.mongodb_members
  - stackgate.k3s.rollout
attributes:
  check_mode:
    description:
      - Tells in RV(plan) which members would be restarted in which order, and why. An election may make another member the primary until
        then. The phases of a key rotation and the feature compatibility version are told, too.
    support: full
options:
  key_secret:
    description:
      - The Secret with the key file of the members, made by M(stackgate.k3s.generated_secret) (C(length=756), C(alphabet=base64)).
        With it, a rotation that was interrupted is finished.
    type: dict
    suboptions:
      name:
        description:
          - Name of the Secret.
        type: str
        required: true
      key:
        description:
          - The key of the Secret that has the file.
        type: str
        default: key
  rotate_key:
    description:
      - Give the members a new key, without downtime, in three phases with a rolling restart in each. The file has the old and the new key,
        then the new and the old one, then the new one alone. Needs O(key_secret).
      - The phase is written on the Secret. A rotation that is under way is finished, not begun again.
      - The task is changed each time it runs with this option. Give it on the command line, not in a file.
      - The pods must read the file from the Secret when they start, and the pod template must not depend on its content.
    type: bool
    default: false
  feature_compatibility_version:
    description:
      - The feature compatibility version that the set is to have, such as V(6.0). Raised one release at a time, never lowered.
      - Refused while any member runs another release.
      - Raising it makes it hard to go back to the release before. Keep it back until the new release has proved itself (O(burn_in)).
      - Left as it is when not given.
    type: str
  burn_in:
    description:
      - Seconds for which every member must have run without a restart before O(feature_compatibility_version) is raised. Until then the
        task says how long it takes still, and changes nothing.
    type: float
    default: 86400
  max_lag:
    description:
      - Seconds that a secondary may be behind the primary when another member is restarted, beyond its own delay.
    type: float
    default: 10
  max_clock_skew:
    description:
      - Seconds that the members' clocks may be apart.
    type: float
    default: 1
  timeout:
    description:
      - Seconds that the set may take to come into order before and after each member. A member that has to copy all data needs more.
    type: float
    default: 600
seealso:
  - module: stackgate.k3s.mongodb_replica_set
  - module: stackgate.k3s.gate
"""

EXAMPLES = r"""
- name: Bootstrap | Bring every member to the wanted revision
  stackgate.k3s.mongodb_rollout: &rollout
    namespace: chathub
    name: rs0
    members:
      - {name: mongodb-0, pod: mongodb-0, host: "mongodb-0.mongodb-members.chathub.svc.cluster.local:27017"}
      - {name: mongodb-1, pod: mongodb-1, host: "mongodb-1.mongodb-members.chathub.svc.cluster.local:27017"}
      - {name: mongodb-2, pod: mongodb-2, host: "mongodb-2.mongodb-members.chathub.svc.cluster.local:27017"}
    credentials_secret: mongodb-admin
    key_secret:
      name: mongodb-key

- name: Rotate | Give the members a new key
  stackgate.k3s.mongodb_rollout:
    <<: *rollout
    rotate_key: true

- name: Upgrade | Let the set use what 6.0 brought, after a week
  stackgate.k3s.mongodb_rollout:
    <<: *rollout
    feature_compatibility_version: "6.0"
    burn_in: 604800
"""

RETURN = r"""
plan:
  description: What was done, or would be, in its order, as sentences.
  returned: success
  type: list
  elements: str
  sample:
    - "restart mongodb-2 (SECONDARY): revision 5d8f7c -> 77b9c4"
    - "restart mongodb-1 (SECONDARY): revision 5d8f7c -> 77b9c4"
    - mongodb-0 hands over to another member
    - "restart mongodb-0 (PRIMARY): revision 5d8f7c -> 77b9c4"
restarted:
  description:
    - The members that were restarted, in this order, by name. A key rotation restarts each of them three times.
    - After a failure, too, those that had been restarted before it.
  returned: always
  type: list
  elements: str
key_rotation:
  description: The phase of the key's rotation after this task. One of V(steady), V(announced), V(switched), V(retired).
  returned: when O(key_secret) is given
  type: str
feature_compatibility_version:
  description: What became of the feature compatibility version, as a sentence.
  returned: when O(feature_compatibility_version) is given
  type: str
  sample: "the feature compatibility version stays 5.0: mongodb-1 runs 6.0.1 for 70 s, of a burn-in of 600 s"
"""
