# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.certificate_info; documented in plugins/modules/certificate_info.py."""

from __future__ import annotations

import base64
import datetime
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import certificates
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "certificate_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Read and judge."""
        name, namespace = str(options["name"]), str(options["namespace"])
        where = f"the Secret {name} in namespace {namespace}"
        secret = self.cluster().get("v1", "Secret", name, namespace)
        if secret is None:
            raise StackgateError(where, "there is none", "make it first, or correct its name")
        now = datetime.datetime.now(datetime.UTC)
        data = {key: base64.b64decode(value or "") for key, value in (secret.get("data") or {}).items()}
        found = certificates.examine(data, where, [str(one) for one in options["names"]], now)
        result: dict[str, Any] = {"changed": False, "certificate": found.facts()}
        if found.ends - now < datetime.timedelta(days=options["warn_days"]):
            result["warnings"] = [f"the certificate of {where} ends on {found.ends:%Y-%m-%d %H:%M} UTC"]
        return result
