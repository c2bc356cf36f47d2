#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: namespace
short_description: Make a namespace, or make sure that somebody has made it
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Makes a namespace with its labels, where this identity may do that.
  - A namespace is an object of the whole cluster, and most identities that deploy into one may not touch it. Then it must be there
    already, made by an administrator; a label that it lacks is reported as a warning with the command that sets it.
  - Runs in ansible's own process.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    description: Tells what would be changed, by a dry run on the server.
    support: full
  diff_mode:
    description: Shows the labels before and after.
    support: full
options:
  name:
    description: The namespace.
    type: str
    required: true
  labels:
    description: Labels that it must carry. Others are left alone.
    type: dict
    default: {}
  state:
    description:
      - V(present) makes it. V(absent) deletes it with everything in it, volumes included, and does not wait for the end. A namespace that
        this identity may not delete stays, with a warning.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Make the namespace of an instance, with Pod Security restricted
  stackgate.k3s.namespace:
    name: wesago
    labels:
      pod-security.kubernetes.io/enforce: restricted
"""

RETURN = r"""
exists:
  description: Whether the namespace is there (in check mode - whether it would be).
  returned: success
  type: bool
lacking:
  description: Labels that are missing or different, and that this identity may not set.
  returned: success
  type: dict
"""
