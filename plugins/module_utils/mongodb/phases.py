# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set and its pods change in an order: members leave, pods go, pods come, members join. What one phase may take for granted. Pure."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing

# What the API server says of a pod that does not exist.
NO_POD = re.compile(r'pods? "[^"]*" not found')


def leaving(desired: DesiredSet, observed: Observation) -> set[str]:
    """Hosts of the set that are not wanted. Where no login is possible the configuration is not known, and hello's list must do."""
    config = observed.config
    names = ("hosts", "passives", "arbiters")
    told = {host for member in observed.members for name in names for host in member.hello.get(name, ())}
    return (set(config.hosts) if config else told) - set(desired.hosts)


def with_new_pods(observed: Observation) -> Observation:
    """The members, those whose pods do not exist taken for new and empty ones."""
    members = tuple(
        MemberObservation(member.host, Standing.UNINITIALISED, has_user_data=False)
        if member.standing is Standing.UNREACHABLE and NO_POD.search(member.error)
        else member
        for member in observed.members
    )
    return dataclasses.replace(observed, members=members)
