# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of the collection's tasks, run in this process as ansible would run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec


def perform(
    module: Any, options: Mapping[str, Any], *, check: bool = False, diff: bool = False, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """The result of the task of this module of plugins/action. Raises StackgateError where the task would fail."""
    action = object.__new__(module.ActionModule)
    action._task = SimpleNamespace(check_mode=check, diff=diff)
    action.say = say
    spec, connection = documented_spec(action.name)
    validated = ArgumentSpecValidator(spec).validate(dict(options))
    assert not validated.error_messages, validated.error_messages
    parameters = validated.validated_parameters
    action.connection_options = {key: parameters[key] for key in connection if parameters.get(key) not in (None, "")}
    return action.execute({key: value for key, value in parameters.items() if key not in connection}, {})  # type: ignore[no-any-return]
