# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: generated_secret
short_description: Make the values of a Secret once, and keep them
version_added: 0.1.0
description:
  - Makes a Secret whose values are random texts, and texts derived from them, like a connection URI.
  - A generated value is made once and never overwritten. Only O(rotate) makes a new one.
  - Two runs at the same moment agree on one value.
  - No value is printed, returned or shown in a difference.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.component
options:
  name:
    description:
      - Name of the Secret.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the Secret.
    type: str
    required: true
  component:
    description:
      - The component that the Secret belongs to. Becomes the label C(app.kubernetes.io/component).
    type: str
    required: true
  type:
    description:
      - Type of the Secret. It cannot be changed later.
    type: str
    default: Opaque
  generate:
    description:
      - The keys to generate. Each has a mapping with C(length), the number of characters, 8 to 4096, V(32) by default, and C(alphabet),
        one of V(alphanumeric) (the default), V(lowercase) (with digits), V(hex), V(digits), V(base64).
      - A key that has a value already keeps it, even when its length or alphabet differs from what is asked for.
      - A key that is no longer listed is kept in the Secret, because it may be the only key to existing data.
    type: dict
    default: {}
  values:
    description:
      - Keys whose values are given, such as a user name, or a password from a vault. They are taken as they are, and kept up to date.
    type: dict
    default: {}
  fields:
    description:
      - Keys whose values are derived. C(${key}) stands for the value of another key of O(generate), O(values) or O(fields),
        C(${key:url}) for the same quoted for a URL, C(${key:sha256}) for its digest in hexadecimal digits, and C($$) for a dollar sign.
      - Generated values need no quoting in a URL, unless their alphabet is V(base64).
      - Kept up to date. A key of O(values) or O(fields) that is no longer listed is removed.
    type: dict
    default: {}
  rotate:
    description:
      - Keys of O(generate) that get a new value in this run. Fields derived from them follow.
      - The task is changed each time it runs with this option. Give it on the command line, not in a file.
      - Making the programs use the new value is up to the caller.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) makes the Secret and keeps it up to date, V(absent) deletes it with all its values.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: full
    description: Shows which keys are new or change, never a value.
seealso:
  - module: stackgate.k3s.manifest
"""

EXAMPLES = r"""
- name: Apply | Make the credentials of the database
  stackgate.k3s.generated_secret:
    name: postgresql
    namespace: "{{ stackgate_namespace }}"
    component: postgresql
    generate:
      password:
      replication-password:
        length: 48
    values:
      username: misago
    fields:
      uri: "postgresql://${username}:${password}@postgresql:5432/misago"
  register: postgresql_credentials

- name: Rotate | Give the application a new password
  stackgate.k3s.generated_secret:
    name: postgresql
    namespace: "{{ stackgate_namespace }}"
    component: postgresql
    generate:
      password:
    rotate: [password]
"""

RETURN = r"""
keys:
  description:
    - What happened to each key, or would, one of C(generated), C(rotated), C(set), C(updated), C(removed), C(unchanged), C(kept).
    - C(kept) is a key that is in the Secret though nobody asks for it.
  returned: success
  type: dict
  sample:
    password: unchanged
    uri: updated
checksum:
  description:
    - Differs when any value differs, and tells nothing about the values. For an annotation of a pod template, so that pods restart
      when a value changes. Empty with O(state=absent).
    - In check mode it is a prediction, which cannot be exact for values that are yet to be generated.
  returned: success
  type: str
  sample: 1d2b5c0b9b1d0d7d2a4b8c7c1a7f7f4e6a2d1f1d4b9a9f3c6a1c6c0a5e8d7b21
"""
