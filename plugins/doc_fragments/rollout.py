# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members of a store restart one after the other: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that brings a store's members to the revision that their StatefulSets want, the one that takes writes last."""

    DOCUMENTATION = r"""
options:
  restart:
    description:
      - Restart every member, whatever revision its pod is of. The task is changed each time it runs with this option. Give it on the
        command line, not in a file.
    type: bool
    default: false
  changing:
    description:
      - StatefulSets of members whose pod template a task before this one has changed, as
        RV(stackgate.k3s.manifest#module:objects[].new_pods) tells. In check mode nothing was changed yet, and their pods are told
        as those that will restart.
      - Without check mode it means nothing, since revisions tell.
    type: list
    elements: str
    default: []
  only_down:
    description:
      - Replace pods of an old revision whose server does not run, and do nothing else. No member is asked.
      - For a task before the one that makes the set, which waits for members that answer. A first revision that cannot start is otherwise
        never replaced, since nothing touches the pods of a StatefulSet with C(OnDelete).
    type: bool
    default: false
attributes:
  diff_mode:
    description: There is never a difference to show.
    support: none
"""
