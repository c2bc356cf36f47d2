# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the servers' pods to their new revision: one at a time while the store itself allows it, or all at once where they must agree.

Servers of different versions or command lines do not work with each other: upstream's rule is to restart all of them at the same moment.
Everything else (memory, probes, placement) goes pod by pod, each only while /minio/health/cluster?maintenance=true of that very server
allows it and no drive is healing. Nothing is remembered but what the cluster and the store say: an interrupted run is continued by
the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer, Server
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Processes

AUTO, ROLLING, AT_ONCE = "auto", "rolling", "at_once"
# What all servers must have alike.
ALIKE = ("image", "command", "args", "env", "envFrom")
# Annotations of the pod template that stand for something that is read at the start only, such as the administrator's keys.
CHECKSUM = "stackgate.k3s/checksum"
# Seconds from one look to the next, and between two lines that say what is waited for.
INTERVAL, SAY_EVERY = 1.0, 10.0


def disagreements(pod: Mapping[str, Any], template: Mapping[str, Any]) -> list[str]:
    """What a pod has otherwise than its template, of the things that all servers must have alike: `image`, `args`, ..."""
    running = {container["name"]: container for container in pod["spec"].get("containers") or []}
    found = []
    for wanted in (template.get("spec") or {}).get("containers") or []:
        has = running.get(wanted["name"]) or {}
        found += [part for part in ALIKE if (has.get(part) or None) != (wanted.get(part) or None)]
    has_notes, wanted_notes = ((thing.get("metadata") or {}).get("annotations") or {} for thing in (pod, template))
    found += [name for name, value in wanted_notes.items() if name.startswith(CHECKSUM) and has_notes.get(name) != value]
    return list(dict.fromkeys(found))


def decide(how: str, pods: Mapping[str, Mapping[str, Any]], templates: Mapping[str, Mapping[str, Any]], all_pods: int) -> tuple[str, str]:
    """`rolling` or `at_once`, and why. pods: those to be restarted; templates: of each one's StatefulSet; all_pods: how many there are."""
    if how != AUTO:
        return how, "as told"
    if all_pods == 1:
        return AT_ONCE, "there is one server"
    differing = list(dict.fromkeys(part for name, pod in pods.items() for part in disagreements(pod, templates[name])))
    if differing:
        return AT_ONCE, f"all servers must have the same {', '.join(part.removeprefix('stackgate.k3s/') for part in differing)}"
    return ROLLING, "the servers keep version, arguments and keys"


@dataclass
class Rollout:
    """One rollout. servers: by pod. drives: what a server says of all drives. timeout: seconds for each thing that is waited for."""

    pods: Processes
    servers: Mapping[str, Server]
    drives: Callable[[Server], health.Drives]
    say: Callable[[str], None]
    timeout: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    restarted: list[str] = field(default_factory=list)
    # Who answered before anything was done, and the drives that all of those missed: it is not this rollout that has to bring them back.
    _answering: list[str] = field(default_factory=list)
    _lost: frozenset[str] = frozenset()

    def run(self, how: str) -> None:
        """Restart everything that is pending. StackgateError when the store does not allow it, or does not come back, within `timeout`."""
        self._survey()
        if how == AT_ONCE:
            pending = list(self.pods.pending())
            self.say(f"{', '.join(pending)} restart together: the store is away for some seconds")
            self._replace(pending)
        else:
            self._one_by_one()
        self._wait("every server is back, and sees all drives, none of them healing", self._unsettled)

    def _one_by_one(self) -> None:
        while pending := list(self.pods.pending()):
            # A pod that does not run serves nobody: a revision that cannot start is repaired by the next one.
            dead = [pod for pod in pending if self.pods.down(pod)]
            pod = (dead or pending)[0]
            if not dead:
                self._wait(f"the store can do without {pod}", partial(self._needed, pod))
            left = len(pending) - 1
            self.say(f"{pod} restarts{' (it does not run)' if dead else ''}" + (f"; {left} more after it" if left else ""))
            self._replace([pod])

    def _replace(self, pods: Sequence[str]) -> None:
        self.restarted += pods
        with ThreadPoolExecutor(len(pods), thread_name_prefix="rollout") as pool:
            list(pool.map(self.pods.replace, pods))

    # -- what the store says -------------------------------------------------------------------------------------

    def _survey(self) -> None:
        """Look at the store before anything is done."""
        views = zip(self.servers, health.each(list(self.servers.values()), self.drives), strict=True)
        seen = {pod: {drive.name for drive in drives.bad} for pod, drives in views if isinstance(drives, health.Drives)}
        self._answering = list(seen)
        self._lost = frozenset(set.intersection(*seen.values()) if seen else ())

    def _needed(self, pod: str) -> str:
        """Why a pod may not be taken down; empty when it may."""
        wrong = self._unsettled()
        if wrong:
            return wrong
        answer = self.servers[pod].ask(health.MAINTENANCE)
        if answer.status == 200:
            return ""
        drives = self.drives(self.servers[pod])
        return f"without {pod} writes would stop: {health.trouble(drives) or health.unwell(answer)}"

    def _unsettled(self) -> str:
        """What is missing until all servers work together again; empty when nothing is.

        Every one of them is asked: they look up each other's new addresses at their own pace (names are kept for up to 30 s), and one that
        does not see a drive yet counts it as lost.
        """
        names = list(dict.fromkeys([*self._answering, *self.restarted]))
        asked = [self.servers[name] for name in names]
        for server, answer in zip(asked, health.ask_each(asked, health.CLUSTER), strict=True):
            if not isinstance(answer, Answer):
                return answer.seen
            if wrong := health.unwell(answer):
                return f"{server.label}: {wrong}"
        for server, drives in zip(asked, health.each(asked, self.drives), strict=True):
            if isinstance(drives, StackgateError):
                return f"{server.label}: {drives.seen.removeprefix(f'{server.label}: ')}"
            missing = [drive for drive in drives.bad if drive.name not in self._lost and drive.name.partition(" ")[0] in names]
            if missing:
                return f"{server.label} does not see {health.named(missing)}"
            if drives.healing:
                return health.trouble(drives)
        return ""

    def _wait(self, expected: str, wrong: Callable[[], str]) -> None:
        begun = said = self.now()
        while True:
            try:
                seen = wrong()
            except StackgateError as error:
                seen = error.seen
            if not seen:
                return
            waited = self.now() - begun
            trouble = self.pods.trouble()
            details = {"changed": bool(self.restarted), "restarted": self.restarted}
            if trouble is not None:
                raise StackgateError(expected, f"{seen}; {trouble.seen}", trouble.hint, waited, details)
            if waited >= self.timeout:
                hint = "run again when the drives are back: what is done stays done; how=at_once restarts without asking the store"
                raise StackgateError(expected, seen, hint, waited, details)
            if self.now() - said >= SAY_EVERY:
                said = self.now()
                self.say(f"waits for {waited:.0f} s until {expected}: {seen}")
            self.sleep(INTERVAL)
