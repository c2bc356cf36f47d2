# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers and sentinels, and how they are reached: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that speaks to Redis servers and their sentinels."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The name by which the sentinels call the master.
    type: str
    default: redis
  servers:
    description:
      - The servers that there are to be, all of them, by name. A server that the sentinels know and that is not listed here is one too
        many.
      - A name is that of a pod, and of a Service of its own with a cluster address, which is the address that the server announces
        (C(replica-announce-ip)). The pod is reached through the API server's port-forward, from anywhere the API server can be reached,
        and the server sees the connection come from 127.0.0.1.
      - C(host:port) is a server outside of the cluster, which is connected to directly and announces itself by that very address.
    type: list
    elements: str
    required: true
  sentinels:
    description:
      - The sentinels that there are to be, all of them, named like O(servers). Their Services have the address that they announce
        (C(sentinel announce-ip)).
      - None for a server that stands alone.
    type: list
    elements: str
    default: []
  port:
    description:
      - The port of servers that are pods.
    type: int
    default: 6379
  sentinel_port:
    description:
      - The port of sentinels that are pods.
    type: int
    default: 26379
  namespace:
    description:
      - The namespace of the pods, Services and Secrets. Needed when any option names one of these.
    type: str
  credentials:
    description:
      - A user that may do everything, the same on servers and sentinels.
      - Without it nobody logs in, which is enough for members that want no login.
    type: dict
    suboptions:
      secret:
        description:
          - The Secret that has the password.
        type: str
        required: true
      username:
        description:
          - The user's name.
        type: str
        default: admin
      key:
        description:
          - The key of the Secret that has the password. The default is O(credentials.username) followed by C(-password).
        type: str
  answer_timeout:
    description:
      - Seconds that a member may take to answer a question. All are asked at the same time.
    type: float
    default: 3
requirements:
  - redis (Python library), where ansible runs
"""
