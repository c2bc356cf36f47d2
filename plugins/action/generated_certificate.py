# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.generated_certificate; documented in plugins/modules/generated_certificate.py."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.prepare import Component
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import certificates, store, values
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "generated_certificate"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The authority first: the certificate is of whichever is there in the end."""
        options = plain(options)  # without ansible's notes of where each value came from
        instance = options["instance"] or str(task_vars["inventory_hostname"])
        labels = Component(options["component"], instance, options["namespace"], options["part_of"] or instance).labels
        if not options["names"]:
            raise StackgateError("names that the certificate is for", "there is none")
        if not 0 <= options["renew_days"] < options["days"] < options["authority_days"]:
            seen = ", ".join(f"{key} {options[key]}" for key in ("renew_days", "days", "authority_days"))
            raise StackgateError("renew_days is less than days, and that less than authority_days", seen)
        terms = certificates.Terms(tuple(options["names"]), options["days"], options["renew_days"])
        above = certificates.Terms((f"{options['authority']} {instance}",), options["authority_days"], options["days"])
        now = datetime.datetime.now(datetime.UTC)
        signing: dict[str, bytes] = {}

        def authority(found: values.Existing) -> values.Plan:
            plan = certificates.plan_authority(found, above, now)
            signing.clear()
            signing.update(plan.data)
            return plan

        def certificate(found: values.Existing) -> values.Plan:
            return certificates.plan_certificate(found, terms, signing, now)

        cluster = self.cluster()
        outcomes = [
            store.settle(cluster, store.Place(options[option], options["namespace"], certificates.TYPE, labels), plan, self.check_mode)
            for option, plan in (("authority", authority), ("name", certificate))
        ]
        result: dict[str, Any] = {"changed": any(one.changed for one in outcomes), "keys": outcomes[1].actions}
        if self.diff_mode:
            result["diff"] = [one.diff for one in outcomes if one.diff]
        return result
