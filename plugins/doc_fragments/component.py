# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object belongs to: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that makes objects of a component."""

    DOCUMENTATION = r"""
options:
  instance:
    description:
      - The deployment that the component belongs to. Becomes the label C(app.kubernetes.io/instance).
      - The default is the inventory host name.
    type: str
  part_of:
    description:
      - The stack that the component belongs to. Becomes the label C(app.kubernetes.io/part-of).
      - The default is O(instance).
    type: str
"""
