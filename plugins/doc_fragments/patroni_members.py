# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which PostgreSQL cluster, and how its members are reached: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that speaks to the members of a PostgreSQL cluster under Patroni."""

    DOCUMENTATION = r"""
options:
  scope:
    description:
      - Name of the cluster, the same as C(scope) in Patroni's configuration.
    type: str
    required: true
  members:
    description:
      - The members of the cluster, all of them. A member of the cluster that is not listed here is one too many.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What Patroni calls the member (C(name) in its configuration), which is the pod's name when it runs in a pod.
        type: str
        required: true
      pod:
        description:
          - The pod that the member runs in. It is then reached through the API server's port-forward, from anywhere the API server can be
            reached, and PostgreSQL and Patroni see the connection come from 127.0.0.1.
          - Without it the member is connected to directly, by O(members[].host).
        type: str
      host:
        description:
          - The address of a member that runs in no pod.
        type: str
      port:
        description:
          - The port of PostgreSQL.
        type: int
        default: 5432
      api_port:
        description:
          - The port of Patroni's REST API.
        type: int
        default: 8008
  namespace:
    description:
      - The namespace of the pods and Secrets. Needed when any option names one of these.
    type: str
  credentials_secret:
    description:
      - A Secret with the keys C(superuser-username), C(superuser-password), C(rest-username) and C(rest-password), the superuser of
        PostgreSQL and the user of Patroni's REST API.
      - Without it, O(login_user) and O(rest_user) are used. Who only asks needs neither.
    type: str
  login_user:
    description:
      - The superuser's name, in place of O(credentials_secret).
    type: str
  login_password:
    description:
      - The superuser's password, with O(login_user).
    type: str
  rest_user:
    description:
      - The name of the REST API's user, in place of O(credentials_secret).
    type: str
  rest_password:
    description:
      - The password of the REST API's user, with O(rest_user).
    type: str
  answer_timeout:
    description:
      - Seconds that a member may take to answer a question. All are asked at the same time.
    type: float
    default: 5
"""
