# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.object_storage_layout."""

from __future__ import annotations

DOCUMENTATION = r"""
name: object_storage_layout
short_description: What pods with drives become in object storage
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Tells before anything is made how many erasure sets the server will form, with how many drives of parity, how much can be stored,
    and how many drives or pods may be lost. It is the arithmetic of the server itself.
  - Parity is EC:2 in sets of 4 or 5 drives, EC:3 in sets of 6 or 7, and EC:4 in larger ones, unless told otherwise.
  - A pool has 1 drive, which is for trials, or at least 4.
options:
  _input:
    description:
      - The pools, each a dictionary with C(pods), C(drives) (of each pod) and C(size) (of each drive, a quantity such as V(10Gi)).
        Other keys are ignored.
    type: list
    elements: dict
    required: true
  parity:
    description: Drives of parity in each set, when the server is told so.
    type: int
"""

EXAMPLES = r"""
- name: Show what four pods with a drive each give
  ansible.builtin.debug:
    msg: "{{ ([{'pods': 4, 'drives': 1, 'size': '10Gi'}] | stackgate.k3s.object_storage_layout).text }}"
  # 4 drives in 1 set of 4, parity EC:2: 20 GiB usable of 40 GiB; reads survive the loss of 2 drives of a set or 2 pods,
  # writes that of 1 drive of a set or 1 pod

- name: Stop when the server would
  ansible.builtin.assert:
    that: (pools | stackgate.k3s.object_storage_layout).problems == []
"""

RETURN = r"""
_value:
  description:
    - A dictionary with C(problems) (sentences; empty when the server will start), C(text) (for people), C(usable_bytes), and C(pools),
      for each C(pods), C(drives), C(sets), C(set_size), C(parity), C(read_quorum), C(write_quorum), C(raw_bytes), C(usable_bytes),
      C(drives_may_fail) (of a set) and C(pods_may_fail), both with C(read) and C(write).
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import layout


def object_storage_layout(pools: Sequence[Mapping[str, Any]], parity: int | str | None = None) -> dict[str, Any]:
    """See DOCUMENTATION."""
    try:
        return layout.plan(pools, None if parity in (None, "") else int(parity))
    except (StackgateError, ValueError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"object_storage_layout": object_storage_layout}
