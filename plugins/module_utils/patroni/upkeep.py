# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Day two of a cluster in pods: new pods for old ones, and servers whose parameters wait for a restart, in this order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observe, rollout, switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Members
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods


@dataclass(frozen=True)
class Wishes:
    """What the user asks for.

    restart: replace every pod. only_down: replace old pods whose server does not run, and do nothing else.
    changing: StatefulSets whose template a task before this one would change, were it not a check.
    """

    restart: bool = False
    changing: tuple[str, ...] = ()
    only_down: bool = False


class Live:
    """Patroni, as rollout.Talk wants it; connected to when it is first asked."""

    def __init__(self, connect: Callable[[], Members], say: Callable[[str], None]) -> None:
        self._connect, self._say = connect, say

    @functools.cached_property
    def members(self) -> Members:
        return self._connect()

    def observe(self) -> Observation:
        """Ask all members."""
        return observe.observe(self.members)

    def switchover(self, timeout: float) -> switchover.Switchover:
        """Make the leader hand over."""
        return switchover.switchover(self.members, timeout=timeout, say=self._say)

    def restart(self, name: str, timeout: float) -> None:
        """Have Patroni restart a server whose parameters wait for it."""
        self.members[name].send("POST", "/restart", {}, timeout)


@dataclass
class Upkeep:
    """One run. Whatever it did is in `rolling.restarted` and `rolling.done`, also after a failure."""

    pods: Pods
    rolling: rollout.Rollout
    wishes: Wishes
    say: Callable[[str], None]

    def run(self) -> dict[str, Any]:
        """Do it, and return the task's result."""
        if self.wishes.only_down:
            for name, sentence in self._dead():
                self.say(sentence)
                self.pods.replace(self.rolling.hosts[name])
                self.rolling.done.append(sentence)
                self.rolling.restarted.append(name)
        else:
            self._ask_all()
            self.rolling.run()
            self.rolling.restart_in_place()
        return {"changed": bool(self.rolling.done), "plan": self.rolling.done, "restarted": self.rolling.restarted}

    def predict(self) -> dict[str, Any]:
        """What run() would do."""
        self.pods.asked.update(dict.fromkeys(self.pods.made_by(self.wishes.changing), "a changed pod template"))
        if self.wishes.only_down:
            found = [sentence for _name, sentence in self._dead()]
        else:
            self._ask_all()
            found = self._predicted()
        return {"changed": bool(found), "plan": found, "restarted": []}

    def _predicted(self) -> list[str]:
        pending = self._pending()
        try:
            observation = self.rolling.talk.observe()
        except StackgateError:  # no Secret yet: no cluster, and so nothing that could restart
            return []
        return rollout.plan(pending, rollout.waiting(observation, self.rolling.hosts), observation)

    def _pending(self) -> dict[str, str]:
        names = {host: name for name, host in self.rolling.hosts.items()}
        return {names[host]: why for host, why in self.pods.pending().items()}

    def _dead(self) -> list[tuple[str, str]]:
        pending = {name: why for name, why in self._pending().items() if self.pods.down(self.rolling.hosts[name])}
        return [(name, rollout.restart_sentence(name, "down", why)) for name, why in pending.items()]

    def _ask_all(self) -> None:
        """Restart the pods that are there now, when the user wants that; not those that will take their place."""
        if self.wishes.restart:
            self.pods.asked.update(dict.fromkeys(self.pods.uids(), "asked for"))
