#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: object_storage
short_description: Buckets and users of an object storage, as declared
version_added: 0.1.0
description:
  - Brings buckets (versions, lifecycle, quota, object lock) and application users of an S3 server to what is declared.
    It compares first and does only what differs, so that a run with nothing to do changes nothing and costs some milliseconds.
  - What a bucket or user does not declare is left as it is, and what is not listed is not touched. A bucket with objects is never
    deleted unless O(buckets[].force) says so. When one thing of all cannot or must not be done, nothing is.
  - An application's user has exactly one policy, which allows its buckets and nothing else. Its keys come from a Secret; with a changed
    Secret the user gets the new secret key in the next run.
  - Waits until the servers take writes, for up to O(timeout) seconds, and says what it waits for.
  - The store is reached through the API server's port-forward, from anywhere, or at an address.
  - Buckets need nothing but S3 (for quotas, too, the administration of MinIO); users need the administration of MinIO.
  - No secret is printed, returned or shown in a difference.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.object_storage
options:
  service:
    description: The Service in front of the servers. Its ready pods are asked. Either this or O(url).
    type: str
  url:
    description: The address of the store, as C(http[s]://host[:port]), reached from the control node.
    type: str
  buckets:
    description: The buckets.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name, of 3 to 63 lower-case letters, digits, dots and hyphens.
        type: str
        required: true
      state:
        description: V(absent) deletes it when it is empty.
        type: str
        choices: [present, absent]
        default: present
      force:
        description: Deletes an V(absent) bucket with all its objects and all their versions, for good.
        type: bool
        default: false
      versioning:
        description: Whether older versions of objects are kept. Once enabled it can only be suspended, which keeps those that there are.
        type: str
        choices: [enabled, suspended]
      quota:
        description: What it may hold, as a quantity such as V(10Gi). V(0) takes the limit away. The server counts some minutes behind.
        type: str
      object_lock:
        description:
          - Whether objects can be protected from deletion for a time (write once, read many). Can be decided only when the bucket is made,
            and keeps versions.
        type: bool
      retention:
        description: How long new objects are protected when their writer says nothing. An empty dictionary means not at all.
        type: dict
        suboptions:
          mode:
            description: V(governance) lets users with a special right delete nevertheless, V(compliance) nobody.
            type: str
            choices: [governance, compliance]
          days:
            description: How many days. Either these or O(buckets[].retention.years).
            type: int
          years:
            description: How many years.
            type: int
      lifecycle:
        description: The rules by which objects go by themselves; all of them. An empty list takes every rule away.
        type: list
        elements: dict
        suboptions:
          id:
            description: Name of the rule. Its number in the list by default, as V(rule-1).
            type: str
          prefix:
            description: The beginning of the names of the objects that it concerns. All by default.
            type: str
            default: ''
          enabled:
            description: Whether it is followed.
            type: bool
            default: true
          expire_days:
            description: Days after which an object goes. In a bucket with versions it becomes an older version.
            type: int
          expire_delete_markers:
            description: Whether delete markers go under which no version is left.
            type: bool
          noncurrent_days:
            description: Days after which an older version goes for good.
            type: int
          noncurrent_keep:
            description: How many older versions stay in any case.
            type: int
  users:
    description: The applications' users.
    type: list
    elements: dict
    default: []
    suboptions:
      secret:
        description: The Secret with its keys. Needed unless O(users[].state=absent).
        type: str
      access_key:
        description: The key of the Secret that holds the access key, which is the user's name.
        type: str
        default: access-key
      secret_key:
        description: The key of the Secret that holds the secret key.
        type: str
        default: secret-key
      name:
        description: The user's name. With a Secret, it must be the access key in it; in check mode it stands for one that is not made yet.
        type: str
      buckets:
        description: The buckets that it may use. Either these or O(users[].policy).
        type: list
        elements: str
        default: []
      access:
        description: What it may do in its buckets. V(readwrite) includes deleting versions.
        type: str
        choices: [readwrite, readonly]
        default: readwrite
      policy:
        description: A policy document of one's own.
        type: dict
      state:
        description: V(absent) deletes the user and its policy.
        type: str
        choices: [present, absent]
        default: present
  timeout:
    description: Seconds that the servers may take until they accept writes.
    type: float
    default: 120
attributes:
  check_mode:
    support: full
    description: Says what the run would do. Where there is no store yet, everything is to be made.
  diff_mode:
    support: full
    description: Shows each bucket's settings, each policy, and which user gets which Secret's key, never a secret.
seealso:
  - module: stackgate.k3s.object_storage_info
  - module: stackgate.k3s.object_storage_rollout
  - module: stackgate.k3s.generated_secret
"""

EXAMPLES = r"""
- name: Bootstrap | Make the chat's bucket and the user that may use it
  stackgate.k3s.object_storage:
    namespace: "{{ stackgate_namespace }}"
    service: object-storage
    credentials:
      secret: object-storage-root
    buckets:
      - name: chat-files
        versioning: enabled
        quota: 20Gi
        lifecycle:
          - id: forget old versions
            noncurrent_days: 30
          - id: forget uploads in progress
            prefix: tmp/
            expire_days: 1
    users:
      - secret: object-storage-chat
        buckets: [chat-files]

- name: A bucket for backups, on an S3 server elsewhere, that nobody can empty for a month
  stackgate.k3s.object_storage:
    namespace: "{{ stackgate_namespace }}"
    url: https://s3.example.org
    credentials:
      secret: offsite
    buckets:
      - name: backups
        object_lock: true
        retention:
          mode: compliance
          days: 30

- name: Take an application's bucket and user away
  stackgate.k3s.object_storage:
    namespace: "{{ stackgate_namespace }}"
    service: object-storage
    credentials:
      secret: object-storage-root
    buckets:
      - name: chat-files
        state: absent
        force: true
    users:
      - name: chat
        state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  returned: success
  type: list
  elements: str
  sample:
    - make bucket chat-files
    - "bucket chat-files: versioning enabled"
    - make policy user-chat
    - make user chat with the keys of Secret object-storage-chat
    - "user chat: policy user-chat and no other"
"""
