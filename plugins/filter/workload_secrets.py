# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.workload_secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_secrets
short_description: The Secrets that items of the role workload refer to
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Names of the Secrets that enabled items mount or take environment variables from, sorted.
options:
  _input:
    description: The items as written, see the role P(stackgate.k3s.workload#role).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the Secrets that the stack needs
  ansible.builtin.debug:
    msg: "{{ workload_items | stackgate.k3s.workload_secrets }}"
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.roles import workload


def workload_secrets(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """See DOCUMENTATION."""
    return workload.secret_names(items)


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"workload_secrets": workload_secrets}
