# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which replica set, and how its members are reached: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that speaks to the members of a MongoDB replica set."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the replica set, the same as the servers' C(--replSet).
    type: str
    required: true
  members:
    description:
      - The members of the set, all of them. A member of the set that is not listed here is one too many.
      - Tasks that only ask, and tasks that restart, look at C(name), C(host) and C(pod) alone, so that one list serves them all.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What messages and plans call the member. Order and position in the list mean nothing, so a member may be put anywhere.
          - The default is its host.
        type: str
      host:
        description:
          - The address of the member as the other members and the clients know it, C(name:port). The port is 27017 when it is left out.
          - It is what the replica set's configuration holds. Use names that outlive a pod, such as those of a headless Service;
            an address of a pod is gone with the pod.
        type: str
        required: true
      pod:
        description:
          - The pod that the member runs in. It is then reached through the API server's port-forward, at the port of its host,
            from anywhere the API server can be reached, and the server sees the connection come from 127.0.0.1.
          - Without it the member is connected to directly, by its host.
        type: str
      priority:
        description:
          - How much it is preferred as primary, 0 to 1000. The member with the highest one becomes primary, about ten seconds after
            it has caught up. 0 never becomes primary.
          - The default is 1, and 0 for a member that the server allows no other (hidden, delayed, an arbiter, without a vote).
        type: float
      votes:
        description:
          - 1 for a member that votes in elections, 0 for one that does not. At most seven may vote; the eighth needs 0.
        type: int
        choices: [0, 1]
        default: 1
      hidden:
        description:
          - Whether clients do not see the member, as for backups and reports.
        type: bool
        default: false
      secondary_delay_s:
        description:
          - Seconds by which the member stays behind on purpose, as a guard against mistakes. Use it with O(members[].hidden=true).
          - The server's name for it (C(secondaryDelaySecs), before 5.0 C(slaveDelay)) is chosen by its feature compatibility version.
        type: int
        default: 0
      arbiter:
        description:
          - Whether the member votes and holds no data.
          - It cannot be changed on a member; the plan takes the member out and adds it again.
          - A set of a primary, a secondary and an arbiter acknowledges no majority write while one of the two is down. Three members
            with data are better.
        type: bool
        default: false
      build_indexes:
        description:
          - V(false) for a member that only keeps the data. It cannot be changed on a member, and needs priority 0.
          - Left as it is when not given.
        type: bool
      tags:
        description:
          - Tags for read preferences and write concerns, a mapping of texts. Left as they are when not given.
        type: dict
      horizons:
        description:
          - Further addresses, by the name of the network they belong to, for clients that come over TLS from elsewhere. All members
            need the same names. Left as they are when not given.
        type: dict
  namespace:
    description:
      - The namespace of the pods and Secrets. Needed when any option names one of these.
    type: str
  credentials_secret:
    description:
      - A Secret with the keys C(username) and C(password) of the administrator of the set, a user of the database C(admin) with the
        role C(root).
      - Without it, and without O(login_user), nobody logs in, which is enough for servers that have no access control.
    type: str
  login_user:
    description:
      - The administrator's name, in place of O(credentials_secret).
    type: str
  login_password:
    description:
      - The administrator's password, with O(login_user).
    type: str
  answer_timeout:
    description:
      - Seconds that a member may take to answer a question. All are asked at the same time.
    type: float
    default: 5
"""
