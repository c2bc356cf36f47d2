# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: manifest
short_description: Apply all objects of a component, and delete those that left it
version_added: 0.1.0
description:
  - Applies the objects of one component by server-side apply, in parallel, and deletes the objects of the component
    that the manifest holds no more.
  - Every object is first sent to the server as a dry run. All refusals are reported together, before anything has changed,
    and check mode shows exactly what the run then does.
  - A batch/v1 Job that has failed for good (its condition Failed is True) is deleted, with its pods in the background, and created
    anew, because it would stay failed although its cause is gone.
  - Does not wait for anything to become ready. That is the work of M(stackgate.k3s.gate).
  - The component is an ApplySet as specified by Kubernetes (KEP-3659). Its parent is the ConfigMap C(<component>-applyset).
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.component
options:
  template:
    description:
      - A Jinja2 template of a YAML text with one or many documents, found and rendered as by M(ansible.builtin.template).
      - Either this or O(definition) is required, unless O(state=absent).
    type: str
  definition:
    description:
      - The objects as a YAML text, as one object, or as a list of objects or texts.
    type: raw
  namespace:
    description:
      - The namespace of all objects that belong to one. An object that names another is an error.
    type: str
    required: true
  component:
    description:
      - What is applied and pruned together. Each task of a namespace needs a component of its own.
      - Becomes the label C(app.kubernetes.io/component) of each object that does not set it.
    type: str
    required: true
  state:
    description:
      - V(present) applies, V(absent) deletes every object of the component. Neither waits for pods to start or to end.
    type: str
    choices: [present, absent]
    default: present
  prune:
    description:
      - Delete objects of the component that are not in the manifest. They go with background propagation.
    type: bool
    default: true
  prune_volumes:
    description:
      - Delete what holds data, too, when it left the manifest or with O(state=absent). These are objects of the kinds
        PersistentVolumeClaim, PersistentVolume, Namespace and CustomResourceDefinition, and the claims that a deleted StatefulSet made.
      - Without it they stay, and stay members of the component.
    type: bool
    default: false
  expendable:
    description:
      - Names of StatefulSets whose volumes hold nothing that cannot be made again. The claims that such a StatefulSet made are deleted
        with it, also without O(prune_volumes).
    type: list
    elements: str
    default: []
  force_conflicts:
    description:
      - Take over fields that another field manager owns. With V(false) such a field is an error that names the manager.
    type: bool
    default: true
  threads:
    description:
      - How many requests are under way at the same time.
    type: int
    default: 8
  timeout:
    description:
      - Seconds to wait for the end of an object that is being deleted while an object of the same name is to be made,
        as that of a failed Job, and for a kind to be served that the manifest itself defines.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: full
    description: Will return details on what has changed. Values of Secrets are hidden.
notes:
  - The C(stringData) of a Secret is sent as C(data), because server-side apply could never remove a key of C(stringData).
seealso:
  - module: stackgate.k3s.gate
  - module: stackgate.k3s.generated_secret
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Apply | Create the objects of the web tier
  stackgate.k3s.manifest:
    template: web.yml.j2
    namespace: "{{ stackgate_namespace }}"
    component: web

- name: Apply | Create a configuration
  stackgate.k3s.manifest:
    namespace: forum
    component: settings
    definition:
      apiVersion: v1
      kind: ConfigMap
      metadata:
        name: settings
      data:
        LANG: C.UTF-8

- name: Remove | Delete the web tier and its volumes
  stackgate.k3s.manifest:
    namespace: forum
    component: web
    state: absent
    prune_volumes: true
"""

RETURN = r"""
objects:
  description: Each object of the component, and what was done to it or would be.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: The object's kind.
      type: str
    name:
      description: The object's name.
      type: str
    action:
      description: One of C(created), C(changed), C(recreated), C(unchanged), C(deleted), C(kept).
      type: str
    new_pods:
      description: Whether the template of its pods has changed, so that those that there are will be replaced.
      type: bool
  sample:
    - kind: Deployment
      name: web
      action: changed
      new_pods: true
problems:
  description: What the server refused.
  returned: failure
  type: list
  elements: dict
  contains:
    kind:
      description: The object's kind.
      type: str
    name:
      description: The object's name.
      type: str
    field:
      description: The path of the field, empty when the server named none.
      type: str
    message:
      description: The server's words.
      type: str
    hint:
      description: What to try.
      type: str
    reason:
      description: The server's machine-readable reason.
      type: str
"""
