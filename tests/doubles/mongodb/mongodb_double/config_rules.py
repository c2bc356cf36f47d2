# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a configuration valid by itself, and after another one (recorded: 03b, 04d, 04i, 10)."""

from __future__ import annotations

from ipaddress import ip_address

from .config import Config, ConfigError, is_localhost

PSA_HINT = (
    "Rejecting reconfig where the new config has a PSA topology and the secondary is electable, but the old config contains only one "
    "writable node. Refer to https://docs.mongodb.com/manual/reference/method/rs.reconfigForPSASet/ for next steps on reconfiguring a "
    "PSA set."
)
IMPLICIT_WRITE_CONCERN = (
    "Reconfig attempted to install a config that would change the implicit default write concern. Use the setDefaultRWConcern command to "
    "set a cluster-wide write concern and try the reconfig again."
)
OLD_DELAY_NAME = "Incompatible delay field name. If the node is in FCV 4.9, it must use secondaryDelaySecs."
NEW_DELAY_NAME = "Incompatible delay field name. If the node is in FCV 4.4, it must use slaveDelay."


def validate(config: Config, newest_fcv: bool = True) -> None:
    """The rules for one configuration, in the server's order. Raises ConfigError."""
    members = config.members
    if not 1 <= len(members) <= 50:
        raise ConfigError(f"Replica set configuration contains {len(members)} members, but must have at least 1 and no more than  50")
    if any(member.delay_by_old_name is newest_fcv for member in members):
        raise ConfigError(OLD_DELAY_NAME if newest_fcv else NEW_DELAY_NAME)
    for i, first in enumerate(members):
        for j, second in enumerate(members[i + 1 :], i + 1):
            if first.id == second.id:
                raise ConfigError(
                    f"Found two member configurations with same _id field, members.{i}._id == members.{j}._id == MemberId({first.id})"
                )
            if first.host == second.host:
                raise ConfigError(
                    f"Found two member configurations with same host field, members.{i}.host == members.{j}.host == {first.host}"
                )
    _validate_horizons(config)
    local = sum(is_localhost(member.host) for member in members)
    if 0 < local < len(members):
        raise ConfigError(
            "Either all host names in a replica set configuration must be localhost references, or none must be; "
            f"found {local} out of {len(members)}"
        )
    if not 1 <= len(config.voters) <= 7:
        raise ConfigError(
            f"Replica set configuration contains {len(config.voters)} voting members, but must be at least 1 and no more than 7"
        )
    if not any(member.electable for member in members):
        raise ConfigError("Replica set configuration must contain at least one non-arbiter member with priority > 0")


def _validate_horizons(config: Config) -> None:
    names = {frozenset(member.horizons) for member in config.members}
    if len(names) > 1:
        raise ConfigError("Saw a replica set member with a different horizon mapping than the others.")
    endpoints = [endpoint for member in config.members for endpoint in member.horizons.values()]
    for endpoint in endpoints:
        try:
            ip_address(str(endpoint).rpartition(":")[0])
        except ValueError:
            continue
        raise ConfigError(f'Found split horizon configuration using IP "horizons" entry: {endpoint}')
    duplicate = next((endpoint for endpoint in endpoints if endpoints.count(endpoint) > 1), None)
    if duplicate is not None:
        raise ConfigError(f'Duplicate horizon member found "{duplicate}".')


def validate_change(old: Config, new: Config, force: bool) -> None:
    """The rules for a configuration that follows another, in the server's order. Raises ConfigError; the code is 103."""
    if old.name != new.name:
        raise ConfigError(f"New and old configurations differ in replica set name; old was {old.name}, and new is {new.name}")
    if not old.stamp.older_than(new.stamp):
        raise ConfigError(
            f"New replica set configuration version and term must be greater than old, but {new.stamp} is not greater than {old.stamp} "
            f"for replica set {new.name}"
        )
    if old.set_id is not None and new.set_id is not None and old.set_id != new.set_id:
        raise ConfigError(f"New and old configurations differ in replica set ID; old was {old.set_id}, and new is {new.set_id}")
    for member in new.members:
        before = old.by_host(member.host)
        if before is None:
            continue
        if before.id != member.id:
            raise ConfigError(
                f"New and old configurations both have members with host of {member.host} but in the new configuration the _id field is "
                f"MemberId({member.id}) and in the old configuration it is MemberId({before.id}) for replica set {new.name}"
            )
        for name, differs in (
            ("buildIndexes", before.build_indexes != member.build_indexes),
            ("arbiterOnly", before.arbiter != member.arbiter),
        ):
            if differs:
                raise ConfigError(
                    f"New and old configurations differ in the setting of the {name} field for member {member.host}; to make this change, "
                    "remove then re-add the member"
                )
    if not force:
        _validate_safe_change(old, new)


def _validate_safe_change(old: Config, new: Config) -> None:
    is_psa = len(new.members) == len(new.voters) == 3 and sum(member.arbiter for member in new.members) == 1
    if is_psa and len(old.writable_voters) < old.majority and sum(member.electable for member in new.members) > 1:
        raise ConfigError(PSA_HINT)
    before, after = ({member.id for member in config.voters} for config in (old, new))
    if len(after ^ before) > 1:
        raise ConfigError("Non force replica set reconfig can only add or remove at most 1 voting member.")
