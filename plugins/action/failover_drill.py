# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.failover_drill; documented in plugins/modules/failover_drill.py."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.drill import faults, table
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.place import Place
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.postgresql import PostgresqlStore
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.redis import RedisStore
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.run import Drill, Settings
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.store import Store
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, _report
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._fields import FieldErrors
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Outcome, Runner, Threads
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observe as patroni_observe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import switchover as patroni_switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Credentials as DatabaseUser
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import switchover as redis_switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials as RedisUser
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer
from ansible_collections.stackgate.k3s.plugins.plugin_utils import patroni, redis
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction, documented_spec

# Seconds that a planned switchover may take.
SWITCHOVER_TIMEOUT = 60.0
# Seconds from a gate that gave up to the next.
PAUSE = 1.0


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "failover_drill"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then tell or do what is wanted."""
        options = plain(options)  # without ansible's notes of where each value came from
        commands = {name: words for name, words in (options["node_commands"] or {}).items() if words}
        faults.check_commands(options["faults"], commands)
        cluster = self.cluster()
        _check_rights(cluster, options["namespace"], options["faults"])

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] drill: {line}")

        with contextlib.ExitStack() as stack:
            store = _store(options, cluster, stack, say)
            settings = Settings(
                options["proxies"],
                options["port"],
                tuple(options["protected_nodes"]),
                commands,
                options["writers"],
                options["interval"],
                options["before"],
                options["stable"],
                options["recovery_timeout"],
            )
            gate = Gate(cluster, options["namespace"], options["conditions"], options["timeout"], say)
            drill = Drill(store, Place(cluster, options["namespace"]), settings, gate, say)
            if self.check_mode:
                return {"changed": True, "plan": [drill.plan(kind) for kind in options["faults"]]}
            return _perform(drill, options["faults"], options["repeat"])


class Gate:
    """Waits until the store's gate holds; another one each time, since conditions remember what they saw."""

    def __init__(
        self, cluster: Cluster, namespace: str, conditions: list[dict[str, Any]], timeout: float, say: Callable[[str], None]
    ) -> None:
        self._session = Session(cluster, namespace)
        self._conditions, self._timeout, self._say = conditions, timeout, say
        self._parse()

    def __call__(self, when: str) -> None:
        """Raises StackgateError when it does not hold in time. when: for the message.

        What a gate takes for a state that cannot heal, a container that ended again and again, heals here: its node was off.
        """
        begun = time.monotonic()
        while True:
            outcome = self._look(when, self._timeout - (time.monotonic() - begun))
            waited = time.monotonic() - begun
            if outcome.holds:
                return
            if waited >= self._timeout:
                found = _report.as_data(outcome, View(self._session))
                text = _report.text(f"gate {when}", found, outcome.waited, outcome.timed_out)
                raise StackgateError(f"the store is whole {when}", text, waited=waited)
            time.sleep(PAUSE)

    def _look(self, when: str, timeout: float) -> Outcome:
        def say(line: str) -> None:
            self._say(f"gate {when}: {line}")

        return Runner(self._parse(), lambda: View(self._session), say, Threads(), timeout=max(timeout, 0.0)).run()

    def _parse(self) -> list[_protocol.Condition]:
        try:
            return _protocol.parse(self._conditions)
        except FieldErrors as error:
            raise StackgateError(
                "conditions that a gate understands", "\n".join(error.mistakes), "docs/gates.md lists every kind and its fields"
            ) from error


def _perform(drill: Drill, kinds: list[str], repeat: int) -> dict[str, Any]:
    """Each fault, so many times. An error tells what was measured before it."""
    runs: list[dict[str, Any]] = []
    try:
        for number in range(1, repeat + 1):
            for kind in kinds:
                runs.append(drill.run(kind, number))
    except StackgateError as error:
        error.details = {"changed": True, **results(runs), **error.details}
        raise
    return {"changed": True, "plan": [run["words"] for run in runs], **results(runs)}


def results(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The measured part of the task's result."""
    summary = table.summarise(runs)
    lost = sum(row["lost"] for row in summary if row["promised"])
    return {"runs": runs, "summary": summary, "table": table.lines(summary), "lost": lost}


def _check_rights(cluster: Cluster, namespace: str, kinds: list[str]) -> None:
    """The rights that a drill needs beyond those of a deployment. Raises StackgateError with those that are missing."""
    wanted = [("delete", "")] if {"pod", "all_pods"} & set(kinds) else []
    # The API server asks for either, depending on its version: the upgrade to a websocket is a GET that may do what a POST does.
    wanted += [("get", "exec"), ("create", "exec")] if "process" in kinds else []
    missing = [
        f"{verb} pods{'/' * bool(sub)}{sub}" for verb, sub in wanted if not cluster.may(verb, "", "pods", namespace, subresource=sub)
    ]
    if missing:
        raise StackgateError(
            f"the right to {' and '.join(missing)} in namespace {namespace}",
            "this identity does not have it",
            "docs/rights.md lists what a drill needs; or leave the fault out (drill_faults)",
        )


def _store(options: Mapping[str, Any], cluster: Cluster, stack: contextlib.ExitStack, say: Callable[[str], None]) -> Store:
    """The store that is named, reached. Raises StackgateError when none or both are."""
    named = [kind for kind in ("redis", "postgresql") if options[kind]]
    if len(named) != 1:
        raise StackgateError("a drill is given one of redis and postgresql", f"it is given {' and '.join(named) or 'none'}")
    make = {"redis": _redis, "postgresql": _postgresql}[named[0]]
    return make(options, cluster, stack, say)


def _redis(options: Mapping[str, Any], cluster: Cluster, stack: contextlib.ExitStack, say: Callable[[str], None]) -> Store:
    given = _validated("redis_sentinel_info", "redis", options)
    fleet = stack.enter_context(redis.access(given, lambda: cluster))

    observer = Observer(fleet)

    def master() -> str:
        found = observer.observe()
        if found.master is None:
            raise StackgateError("Redis has one master", f"{', '.join(one.name for one in found.masters) or 'nobody'} says that it is")
        return found.master.name

    def takeover() -> str:
        return redis_switchover.switchover(fleet, timeout=SWITCHOVER_TIMEOUT, say=say).new

    return RedisStore(given["servers"], RedisUser(*_secret(cluster, options, "username", "password")), master, takeover)


def _postgresql(options: Mapping[str, Any], cluster: Cluster, stack: contextlib.ExitStack, say: Callable[[str], None]) -> Store:
    given = _validated("patroni_cluster_info", "postgresql", options)
    reached = patroni.access(given, lambda: cluster)

    def lead() -> str:
        found = patroni_observe.observe(reached).leader
        if found is None:
            raise StackgateError("PostgreSQL has a leader", "nobody holds the lock and takes writes")
        return found.name

    def takeover() -> str:
        return patroni_switchover.switchover(reached, timeout=SWITCHOVER_TIMEOUT, say=say).new

    username, password, database = _secret(cluster, options, "username", "password", "database")
    members = [member["name"] for member in given["members"]]
    return PostgresqlStore(members, DatabaseUser(username, password), database, lead, takeover, options["synchronous"])


def _validated(module: str, option: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a store as its own module takes them."""
    spec, _connection = documented_spec(module)
    validated = ArgumentSpecValidator(spec).validate({"namespace": options["namespace"], **options[option]})
    if validated.error_messages:
        raise StackgateError(f"{option} has options of {module}", "; ".join(validated.error_messages))
    return dict(validated.validated_parameters)


def _secret(cluster: Cluster, options: Mapping[str, Any], *keys: str) -> list[str]:
    """Values of the application's Secret."""
    name = options["credentials_secret"]
    secret = cluster.get("v1", "Secret", name, options["namespace"])
    data = (secret or {}).get("data") or {}
    missing = [key for key in keys if key not in data]
    if missing:
        seen = "does not exist" if secret is None else f"lacks {', '.join(missing)}"
        raise StackgateError(f"the Secret {name} has the keys {', '.join(keys)}", f"it {seen}")
    return [base64.b64decode(data[key]).decode() for key in keys]
