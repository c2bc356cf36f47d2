# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup stackgate.k3s.content."""

from __future__ import annotations

DOCUMENTATION = r"""
name: content
short_description: The files of a directory, packed for ConfigMaps
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Reads all files below a directory of the control node and packs them into groups that fit into one ConfigMap each (1 MiB).
  - A relative directory is searched beside the playbook, one level above it, in the collection, and in the current directory.
options:
  _terms:
    description: The directory. Exactly one.
    type: list
    elements: str
    required: true
  limit:
    description: Bytes that all files together may have.
    type: int
    default: 8388608
"""

EXAMPLES = r"""
- name: Show under which name a website's content would be stored
  ansible.builtin.debug:
    msg: "{{ lookup('stackgate.k3s.content', 'website').digest }}"
"""

RETURN = r"""
_raw:
  description: The packed files.
  type: list
  elements: dict
  contains:
    digest:
      description: A name for exactly this content.
      type: str
    shards:
      description: Groups of files. C(data) holds them in base64 by key, C(paths) their paths below the directory by key.
      type: list
      elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import content

COLLECTION = Path(__file__).resolve().parents[2]


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Read and pack."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 1 or not terms[0]:
            raise AnsibleLookupError(f"stackgate.k3s.content: expected: one directory, seen: {', '.join(map(str, terms)) or 'none'}")
        directory = Path(str(terms[0])).expanduser()
        beside = Path(str((variables or {}).get("playbook_dir", ".")))
        places = (
            [directory] if directory.is_absolute() else [place / directory for place in (beside, beside.parent, COLLECTION, Path.cwd())]
        )
        found = next((place for place in places if place.is_dir()), places[-1])
        try:
            return [content.content(found, int(self.get_option("limit")))]
        except StackgateError as error:
            raise AnsibleLookupError(f"stackgate.k3s.content: {error}") from error
