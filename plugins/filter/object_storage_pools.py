# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.object_storage_pools."""

from __future__ import annotations

DOCUMENTATION = r"""
name: object_storage_pools
short_description: The pools of the role object_storage
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Names the StatefulSet of each pool, and writes the argument by which the servers of all pools are told of it.
options:
  _input:
    description: The pools, each with C(replicas) and perhaps C(drives_per_pod), C(storage_size) and C(storage_class).
    type: list
    elements: dict
    required: true
  storage_class:
    description: Storage class of pools that name none.
    type: str
    required: true
  domain:
    description: What follows a pod's name in its address.
    type: str
    required: true
  tls:
    description: Whether the servers speak TLS.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the argument of a pool of four pods
  ansible.builtin.debug:
    msg: "{{ ([{'replicas': 4}] | stackgate.k3s.object_storage_pools('fast', 'members.shop.svc.cluster.local'))[0].argument }}"
"""

RETURN = r"""
_value:
  description: Each pool's C(name), C(number), C(pods), C(drives), C(size), C(storage_class), C(shape) and C(argument).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.roles import object_storage


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"object_storage_pools": object_storage.pools}
