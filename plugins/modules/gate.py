#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Wait until a stage is true
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Waits.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
options:
  namespace:
    description: The namespace that all conditions are about.
    type: str
    required: true
  stage:
    description: What the gate is called in messages.
    type: str
    default: ''
  conditions:
    description: What must hold.
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds.
    type: float
    default: 300
  interval:
    description: Seconds.
    type: float
    default: 1
  stable:
    description: Seconds.
    type: float
    default: 0
  unschedulable_after:
    description: Seconds.
    type: float
    default: 60
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""
