# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.object_storage_users."""

from __future__ import annotations

DOCUMENTATION = r"""
name: object_storage_users
short_description: The users of the role object_storage
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Says which Secret each user has, what is in it, and which account M(stackgate.k3s.object_storage) is to make.
  - Fails for a name that no server takes, for one that is taken, and for a bucket that nobody declared.
options:
  _input:
    description: The users, each with C(name) and perhaps C(buckets), C(access), C(policy), C(secret) and C(state).
    type: list
    elements: dict
    required: true
  buckets:
    description: The buckets, each with C(name) and perhaps C(state).
    type: list
    elements: dict
    required: true
  region:
    description: The region that clients sign for.
    type: str
    required: true
  tls:
    description: Whether the servers speak TLS.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the Secret of a user
  ansible.builtin.debug:
    msg: "{{ (users | stackgate.k3s.object_storage_users([{'name': 'pictures'}], 'us-east-1'))[0].secret }}"
  vars:
    users: [{name: shop, buckets: [pictures]}]
"""

RETURN = r"""
_value:
  description: Each user's C(name), C(secret), C(absent), C(writes), the given C(values) of the Secret, and the C(account).
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import object_storage


def object_storage_users(
    given: Sequence[Mapping[str, Any]], buckets: Iterable[Mapping[str, Any]], region: str, tls: bool = False
) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    try:
        return object_storage.users(given, buckets, region, tls)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"object_storage_users": object_storage_users}
