# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.mongodb_users."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mongodb_users
short_description: The users of the role mongodb's replica set
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Says what the Secret of the applications holds, as the options of M(stackgate.k3s.generated_secret), and which users
    M(stackgate.k3s.mongodb_replica_set) is to make.
  - Fails for a name that cannot be part of a Secret's key or of a URI, and for one that is taken.
options:
  _input:
    description: Users beside the application's own, each with C(name), C(database) and perhaps C(roles).
    type: list
    elements: dict
    required: true
  username:
    description: The application's own user.
    type: str
    required: true
  database:
    description: The application's own database.
    type: str
    required: true
  hosts:
    description: The members that clients are given, with commas between.
    type: str
    required: true
  replica_set:
    description: Name of the set.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show who is made
  ansible.builtin.debug:
    msg: "{{ ([] | stackgate.k3s.mongodb_users('app', 'app', 'a:27017,b:27017,c:27017', 'rs0')).accounts }}"
"""

RETURN = r"""
_value:
  description: C(generate), C(values) and C(fields) of the Secret, and C(accounts), the users.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import mongodb


def mongodb_users(further: Sequence[Mapping[str, Any]], username: str, database: str, hosts: str, replica_set: str) -> dict[str, Any]:
    """See DOCUMENTATION."""
    try:
        return mongodb.users(further, username, database, hosts, replica_set)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"mongodb_users": mongodb_users}
