# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that reads and never changes anything: written once."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of a task that reads only."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
"""
