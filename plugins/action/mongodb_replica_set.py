# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.mongodb_replica_set; documented in plugins/modules/mongodb_replica_set.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import desired, report
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.execute import Entry, Execution, Outcome, Request
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.users import ADMIN_ROLES, User, roles_of
from ansible_collections.stackgate.k3s.plugins.plugin_utils import mongodb
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "mongodb_replica_set"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then predict or carry out the plan."""
        options = plain(options)  # without ansible's notes of where each value came from
        wanted = desired.from_options(options["name"], options["members"], options["settings"])
        with mongodb.access(options, self.cluster, self.check_mode) as access:
            request = Request(
                wanted,
                frozenset(options["consents"]),
                User(access.administrator, ADMIN_ROLES) if access.administrator else None,
                users(options, access),
                options["timeout"],
                options["phase"],
            )
            observer = Observer(access.members, wanted.name, wanted.hosts, options["answer_timeout"])
            execution = Execution(access.members, observer, request, self.say)
            try:
                outcome = execution.predict() if self.check_mode else execution.run()
            except StackgateError as error:
                done = self._result(execution.outcome, access.names)
                error.details = {**done, **error.details}
                raise
            return self._result(outcome, access.names)

    def _result(self, outcome: Outcome, names: Mapping[str, str]) -> dict[str, Any]:
        shown = [entry for entry in (outcome.plan if self.check_mode else outcome.performed) if not entry.waits]
        result: dict[str, Any] = {
            "changed": bool(shown),
            "plan": [{"kind": entry.kind, "sentence": entry.sentence} for entry in outcome.plan],
            "performed": [{"kind": entry.kind, "sentence": entry.sentence} for entry in outcome.performed],
            **report.set_data(outcome.observation, names),
        }
        if outcome.warnings:
            result["warnings"] = outcome.warnings
        if self.diff_mode and shown:
            result["diff"] = [difference(entry) for entry in shown if entry.kind == "user" or entry.after is not None]
        return result


def users(options: Mapping[str, Any], access: mongodb.Access) -> tuple[User, ...]:
    """The users asked for. Raises StackgateError with every one that is not complete."""
    wrong = [user["name"] for user in options["users"] if bool(user["password"]) == bool(user["password_secret"])]
    if wrong:
        raise StackgateError("each user has a password or a password_secret", f"not one of the two: {', '.join(wrong)}")
    made = []
    for user in options["users"]:
        password = user["password"] or access.secret(user["password_secret"], user["password_key"])
        credentials = Credentials(user["name"], password, user["database"])
        reset = options["update_password"] == "always"  # noqa: S105  # not a password
        made.append(User(credentials, roles_of(user["roles"], user["database"]), reset))
    return tuple(made)


def difference(entry: Entry) -> dict[str, Any]:
    """One step as ansible shows differences."""
    if entry.after is None:
        return {"before": "", "after": f"{entry.sentence}\n", "before_header": "users", "after_header": "users"}
    before = report.plain(entry.before.document) if entry.before else {}
    return {
        "before": before,
        "after": report.plain(entry.after.document),
        "before_header": f"configuration of {entry.after.name}",
        "after_header": f"configuration of {entry.after.name}: {entry.sentence}",
    }
