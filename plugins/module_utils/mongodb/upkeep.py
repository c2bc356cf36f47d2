# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Day two of a replica set in pods: rolling restarts, the phases of a key rotation, the feature compatibility version, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import fcv, keyfile, retry, rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods

# How often a write is tried again when somebody else wrote at the same moment, or the primary has moved.
ATTEMPTS = 5
# Seconds for the command that raises the feature compatibility version: it writes to every member.
RAISE_TIMEOUT = 300.0


@dataclass(frozen=True)
class Wishes:
    """What the user asks for. key_secret: (name, key) of the Secret with the key file. burn_in: seconds.

    changing:  StatefulSets whose template a task before this one would change, were it not a check.
    only_down: replace old pods whose server does not run, and do nothing else.
    """

    restart: bool = False
    key_secret: tuple[str, str] | None = None
    rotate_key: bool = False
    feature_compatibility_version: str = ""
    burn_in: float = 0.0
    changing: tuple[str, ...] = ()
    only_down: bool = False


@dataclass
class Upkeep:
    """One run. Whatever it did is in `rolling.restarted` and `rolling.done`, also after a failure."""

    cluster: Cluster
    namespace: str
    pods: Pods
    rolling: rollout.Rollout
    wishes: Wishes
    say: Callable[[str], None]
    result: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Do it, and return the task's result."""
        if self.wishes.only_down:
            return self._repair()
        self._ask_all()
        ring = self._ring()
        if ring and self.wishes.rotate_key and not ring.rotating and self.pods.live():
            ring = self._turn(ring, keyfile.begin(ring, keyfile.new_key(), self.pods.uids()))
        self._ask_for(ring)
        self.rolling.run()
        while ring and ring.rotating:
            ring = self._turn(ring, keyfile.advance(ring, self.pods.uids()))
            self._ask_for(ring)
            self.rolling.run()
        if self.wishes.feature_compatibility_version:
            self._raise()
        if ring:
            self.result["key_rotation"] = ring.phase.value
        return {
            **self.result,
            "changed": bool(self.rolling.done),
            "plan": self.rolling.done,
            "restarted": self.rolling.restarted,
        }

    def predict(self) -> dict[str, Any]:
        """What run() would do. Members are asked only when there is something to do."""
        self.pods.asked.update(dict.fromkeys(self.pods.made_by(self.wishes.changing), "a changed pod template"))
        if self.wishes.only_down:
            found = [sentence for _host, sentence in self._dead()]
            return {"changed": bool(found), "plan": found, "restarted": []}
        self._ask_all()
        ring, found = self._ring(), []
        if ring and self.wishes.rotate_key and not ring.rotating and self.pods.live():
            ring = keyfile.begin(ring, ring.keys[0], self.pods.uids())
            found.append(ring.sentence)
        self._ask_for(ring)
        pending = self.pods.pending()
        if pending:
            observation = self.rolling.observe()
            found += rollout.plan(pending, observation, self.rolling.names)
            while ring and ring.rotating:
                ring = keyfile.advance(ring, self.pods.uids())
                if ring.rotating:
                    found.append(ring.sentence)
                    everybody = dict.fromkeys(self.pods.live(), ring.sentence)
                    found += rollout.plan(everybody, observation, self.rolling.names)
        elif ring and ring.rotating:
            found.append(f"go on with the {ring.sentence}")
        if self.wishes.feature_compatibility_version:
            found += self._would_raise(bool(pending))
        if ring:
            self.result["key_rotation"] = ring.phase.value
        return {**self.result, "changed": bool(found), "plan": found, "restarted": []}

    def _repair(self) -> dict[str, Any]:
        """Replace old pods whose server does not run: their revision may be what keeps it from running."""
        for host, sentence in self._dead():
            self.say(sentence)
            self.pods.replace(host)
            self.rolling.done.append(sentence)
            self.rolling.restarted.append(self.rolling.names.get(host, host))
        return {"changed": bool(self.rolling.done), "plan": self.rolling.done, "restarted": self.rolling.restarted}

    def _dead(self) -> list[tuple[str, str]]:
        pending = {host: why for host, why in self.pods.pending().items() if self.pods.down(host)}
        return [(host, rollout.restart_sentence(self.rolling.names.get(host, host), "down", why)) for host, why in pending.items()]

    def _ask_all(self) -> None:
        """Restart the pods that are there now, when the user wants that; not those that will take their place."""
        if self.wishes.restart:
            self.pods.asked.update(dict.fromkeys(self.pods.uids(), "asked for"))

    # -- key -----------------------------------------------------------------------------------------------------

    def _ask_for(self, ring: keyfile.KeyRing | None) -> None:
        """Restart the pods that have read the key file before its present phase."""
        if ring and ring.rotating:
            self.pods.asked.update(dict.fromkeys(ring.behind, ring.sentence))

    def _ring(self) -> keyfile.KeyRing | None:
        if self.wishes.key_secret is None:
            return None
        name, key = self.wishes.key_secret
        secret = self._secret(name)
        if secret is None:
            if self.pods.live():
                raise StackgateError(f"the members' key file in Secret {name}", f"there is no Secret {name} in namespace {self.namespace}")
            return None
        return keyfile.read(secret, key)

    def _secret(self, name: str) -> dict[str, Any] | None:
        return self.cluster.get("v1", "Secret", name, self.namespace)

    def _turn(self, before: keyfile.KeyRing, after: keyfile.KeyRing) -> keyfile.KeyRing:
        """Write the next phase, unless somebody else has changed the keys meanwhile."""
        name, key = self.wishes.key_secret or ("", "")
        for _attempt in range(ATTEMPTS):
            live = self._secret(name)
            if live is None or keyfile.read(live, key) != before:
                raise StackgateError(
                    f"nobody else changes the key file in Secret {name} during its rotation",
                    "its keys or its phase have changed",
                    "run again",
                )
            try:
                self.cluster.replace(keyfile.written(live, key, after))
            except ApiError as error:
                if error.status != 409:
                    raise
                continue
            if after.rotating:
                self.say(after.sentence)
                self.rolling.done.append(after.sentence)
            return after
        raise StackgateError(f"Secret {name} stays as it is between reading and writing it", f"it changed {ATTEMPTS} times in a row")

    # -- feature compatibility version ---------------------------------------------------------------------------

    def _raise(self) -> None:
        wanted = self.wishes.feature_compatibility_version
        for attempt in range(ATTEMPTS):
            observation = self.rolling.observe()
            decision = self._decide(observation)
            self.result["feature_compatibility_version"] = decision.sentence
            if decision.action is not fcv.Action.RAISE:
                if decision.action is fcv.Action.WAIT:
                    self.say(decision.sentence)
                return
            observation = self.rolling.settle("before the feature compatibility version is raised")
            primary = observation.primary
            if primary is None:
                continue
            self.say(decision.sentence)
            try:
                self.rolling.command(primary.host, fcv.command(wanted, self._binaries(observation)), RAISE_TIMEOUT)
            except StackgateError as error:
                if retry.rule(error).decision is not retry.Decision.AGAIN or attempt == ATTEMPTS - 1:
                    raise
                continue
            self.rolling.done.append(decision.sentence)
            self.result["feature_compatibility_version"] = f"the feature compatibility version is {wanted}"
            return

    def _would_raise(self, restarts: bool) -> list[str]:
        """The sentence of a raise to come. After restarts the burn-in begins anew, and what the members will run is not known here."""
        if restarts or not self.pods.live():
            return []
        decision = self._decide(self.rolling.observe())
        self.result["feature_compatibility_version"] = decision.sentence
        return [decision.sentence] if decision.action is fcv.Action.RAISE else []

    def _decide(self, observation: Observation) -> fcv.Decision:
        primary, wanted = observation.primary, self.wishes.feature_compatibility_version
        if primary is None or primary.fcv is None:
            seen = "there is no primary" if primary is None else f"{self._name(primary)} does not tell it"
            raise StackgateError(f"the feature compatibility version of the set, to raise it to {wanted}", seen)
        return fcv.decide(_text(primary.fcv) or "", _text(primary.fcv_target), wanted, self._binaries(observation), self.wishes.burn_in)

    def _binaries(self, observation: Observation) -> dict[str, fcv.Binary]:
        """What each member runs. One that does not tell is no member of any release: then nothing is raised."""
        silent = [self._name(member) for member in observation.members if member.version is None]
        if silent:
            raise StackgateError("every member tells its version", f"{', '.join(silent)} did not")
        # An arbiter tells its uptime only where it needs no login; it stores nothing that the version is about.
        return {
            self._name(member): fcv.Binary(member.version or (), float(member.uptime_s if member.uptime_s is not None else "inf"))
            for member in observation.members
        }

    def _name(self, member: MemberObservation) -> str:
        return self.rolling.names.get(member.host, member.host)


def _text(version: tuple[int, int] | None) -> str | None:
    return None if version is None else f"{version[0]}.{version[1]}"
