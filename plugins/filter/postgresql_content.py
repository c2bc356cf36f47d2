# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.postgresql_content."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_content
short_description: The databases and the users of the role postgresql
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Says what the Secret of the applications holds, as the options of M(stackgate.k3s.generated_secret), and which roles and databases
    M(stackgate.k3s.patroni_cluster) is to make.
  - Fails for a name that cannot be part of a Secret's key or of a URI, and for one that is taken.
options:
  _input:
    description: Users that own no database, each with C(name) and perhaps C(database), C(member_of) and C(connection_limit).
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
  extensions:
    description: The extensions of that database.
    type: list
    elements: str
    default: []
  databases:
    description: Further databases, each with C(name), C(username) and perhaps C(extensions).
    type: list
    elements: dict
    default: []
  sslmode:
    description: What clients are told of encryption, in libpq's word, such as V(require). Empty for nothing.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Show what is made
  ansible.builtin.debug:
    msg: "{{ ([] | stackgate.k3s.postgresql_content('app', 'app', ['hstore'])).databases }}"
"""

RETURN = r"""
_value:
  description: C(generate), C(values) and C(fields) of the Secret, C(roles) and C(databases).
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import postgresql


def postgresql_content(
    users: Sequence[Mapping[str, Any]],
    username: str,
    database: str,
    extensions: Sequence[str] = (),
    databases: Sequence[Mapping[str, Any]] = (),
    sslmode: str = "",
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    try:
        return postgresql.content(users, username, database, extensions, databases, sslmode)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"postgresql_content": postgresql_content}
