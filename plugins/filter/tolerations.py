# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.tolerations."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tolerations
short_description: How long pods without state wait for a lost node
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - The tolerations of a pod that leaves a node some seconds after the cluster has found that the node is lost. Kubernetes' own
    are 300 seconds, and it takes about 50 more to find that out.
options:
  _input:
    description: The seconds.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show the tolerations of a pod that leaves after half a minute
  ansible.builtin.debug:
    msg: "{{ 30 | stackgate.k3s.tolerations }}"
"""

RETURN = r"""
_value:
  description: The tolerations.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

# What a lost node is marked with: it says that it is not ready, or it says nothing any more.
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def tolerations(seconds: int | str) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    return [{"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": int(seconds)} for taint in TAINTS]


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"tolerations": tolerations}
