# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry options of plugins/doc_fragments/registry.py: the variables they fall back to, and the client they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import Registry, parse_address

# Option -> (variable that it falls back to, value when neither is given).
Fallbacks = Mapping[str, tuple[str, Any]]
REGISTRY: Fallbacks = {
    "registry": ("stackgate_registry", ""),
    "registry_url": ("stackgate_registry_url", ""),
    "registry_tls": ("stackgate_registry_tls", None),
    "registry_username": ("stackgate_registry_username", ""),
    "registry_password": ("stackgate_registry_password", ""),
    "registry_ca_cert": ("stackgate_registry_ca_cert", ""),
    "registry_validate_certs": ("stackgate_registry_validate_certs", True),
}


def with_variables(
    options: Mapping[str, Any], fallbacks: Fallbacks, task_vars: Mapping[str, Any], template: Callable[[Any], Any]
) -> dict[str, Any]:
    """The options, those not given taken from their variables, and where these are empty from their defaults."""
    filled = dict(options)
    for option, (variable, default) in fallbacks.items():
        value = filled.get(option)
        if value is None and variable in task_vars:
            value = template(task_vars[variable])
        filled[option] = default if value in (None, "") else value
    return filled


def client(options: Mapping[str, Any], **settings: Any) -> Registry:
    """The client of the registry that filled options name. settings: further arguments of Registry."""
    return Registry(
        parse_address(options["registry"], options["registry_url"], options["registry_tls"]),
        username=options["registry_username"],
        password=options["registry_password"],
        ca_cert=options["registry_ca_cert"],
        validate_certs=options["registry_validate_certs"],
        **settings,
    )
