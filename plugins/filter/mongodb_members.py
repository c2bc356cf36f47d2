# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.mongodb_members."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mongodb_members
short_description: The members of the role mongodb's replica set
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Makes the list of members that M(stackgate.k3s.mongodb_replica_set) takes from what members have of their own.
  - Fails for a set that no server would accept, and for an even number of votes.
options:
  _input:
    description: What members have of their own, by name.
    type: dict
    required: true
  replica_set:
    description: Name of the set.
    type: str
    required: true
  replicas:
    description: Number of members with data.
    type: int
    required: true
  domain:
    description: What follows a pod's name in its address.
    type: str
    required: true
  arbiter:
    description: Whether there is an arbiter.
    type: bool
    default: false
  even_votes:
    description: Whether an even number of votes is accepted.
    type: bool
    default: false
  settings:
    description: Settings of the set, to be checked.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the members of a set of three
  ansible.builtin.debug:
    msg: "{{ {'mongodb-2': {'priority': 0}} | stackgate.k3s.mongodb_members('rs0', 3, 'mongodb-members.shop.svc.cluster.local') }}"
"""

RETURN = r"""
_value:
  description: The members, the arbiter last.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import mongodb


def mongodb_members(
    own: Mapping[str, Mapping[str, Any]],
    replica_set: str,
    replicas: int,
    domain: str,
    arbiter: bool = False,
    even_votes: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    try:
        return mongodb.members(own, replica_set, int(replicas), domain, arbiter, even_votes, settings)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"mongodb_members": mongodb_members}
