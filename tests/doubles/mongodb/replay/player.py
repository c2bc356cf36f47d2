# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the commands of a recording to the servers of a stage, in their order, and collects how the answers differ."""

from __future__ import annotations

import copy
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from bson import ObjectId

from . import compare, sequences
from .recording import Change, Command, Document, Note, Poll, Recording
from .scenarios import Scenario
from .stage import Stage

# Replies with more than the double has: what both have is compared, by type.
WIDE = frozenset(
    {"serverStatus", "buildInfo", "hostInfo", "getLog", "listCommands", "collStats", "dbStats", "top", "listDatabases", "getCmdLineOpts"}
)
# A poll for a condition may take so much longer than the recorded one, in seconds of the server's clock, and one that has to
# end as recorded after a fixed time so much longer.
PATIENCE, GRACE = 20.0, 6.0
# How long an answer took is compared from this many recorded seconds on: below, it is the machine that decides.
LONG = 1.5
# Commands that change nothing. What they tell of others comes by heartbeats, a moment earlier or later: they are sent again for as
# long, in seconds of the server's clock, when they differ.
ASKING, SETTLING = frozenset({"hello", "isMaster", "ismaster", "replSetGetStatus", "replSetGetConfig"}), 6.0
# A step so soon after the clock's zero is the one that the zero is the time of.
JUST = 0.05


class Player:
    """Plays one scenario. differences: what was found, each with its step."""

    def __init__(self, recording: Recording, scenario: Scenario, stage: Stage) -> None:
        self._recording, self._scenario, self._stage = recording, scenario, stage
        self.differences: list[str] = []
        self._versions: dict[int, int] = {}
        self._set_id = _main_set_id(recording)
        # When the recorded clock began, and the last time seen on it; None: the step before tells none.
        self._mark = time.monotonic()
        self._last_at: float | None = None

    def play(self) -> list[str]:
        with _resolver(self._stage):
            self._scenario.prepare(self._stage)
            steps = list(self._recording.steps)
            while steps:
                step = steps.pop(0)
                if step.step in self._scenario.left_out:
                    continue
                action = self._scenario.actions.get(step.step)
                if action is not None:
                    action(self._stage)
                if isinstance(step, Poll):
                    self._poll(step)
                elif isinstance(step, Command):
                    together = [step]
                    # Commands that were sent at the same time say so.
                    while (
                        self._scenario.at_once and step.step in self._scenario.at_once and steps and steps[0].step in self._scenario.at_once
                    ):
                        together.append(steps.pop(0))
                    self._pace(step.at)
                    self._commands(together)
                elif isinstance(step, Note) and step.at is None and action is not None:
                    # What comes next counts from here.
                    self._mark, self._last_at = time.monotonic(), JUST
                elif isinstance(step, Note):
                    self._pace(step.at)
        return self.differences

    # Time

    def _pace(self, at: float | None) -> None:
        """Wait until as much of the server's time has passed since the last mark as had passed in the recording."""
        if at is None:
            self._last_at = None
            return
        if self._last_at is not None and at >= self._last_at >= JUST:
            pause = self._mark + at / self._stage.speed - time.monotonic()
            time.sleep(max(0.0, pause))
        else:
            self._mark = time.monotonic() - at / self._stage.speed
        self._last_at = at

    # Commands

    def _commands(self, commands: Sequence[Command]) -> None:
        """Send commands, more than one at the same time; compare each answer with the recorded one."""
        answers: list[tuple[Document | None, float]] = [(None, 0.0)] * len(commands)

        def send(number: int, command: Command, document: Document) -> None:
            began = time.monotonic()
            reply = self._scenario.send(self._stage, command, document)
            answers[number] = reply, (time.monotonic() - began) * self._stage.speed

        documents = [self._adapted(command) for command in commands]
        threads = [threading.Thread(target=send, args=(number, *pair)) for number, pair in enumerate(zip(commands, documents, strict=True))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(commands) > 1:
            answers = _matched(commands, answers)
        for command, document, (reply, took) in zip(commands, documents, answers, strict=True):
            found = self._compare(command, reply, took)
            ended = time.monotonic() + SETTLING / self._stage.speed
            while found and _name(command) in ASKING and time.monotonic() < ended:
                time.sleep(0.2 / self._stage.speed)
                found = self._compare(command, self._scenario.send(self._stage, command, document), took)
            self.differences += found

    def _compare(self, command: Command, reply: Document | None, took: float) -> list[str]:
        name = _name(command)
        where = f"step {command.step} ({command.member} {name}, {command.note})"
        if command.reply is None or reply is None:
            if (command.reply is None) != (reply is None):
                return [f"{where}: answered {reply!r}, recorded {command.reply!r}"]
            return []
        self._learn(command.reply, reply)
        ignored = (*self._scenario.ignored, *self._scenario.ignored_in.get(command.step, ()))
        exact = self._scenario.canonical
        expected = compare.normalise(compare.without(command.reply, ignored), exact_types=exact)
        seen = compare.normalise(compare.without(reply, ignored), exact_types=exact)
        if name in WIDE and reply.get("ok") == 1 and command.reply.get("ok") == 1:
            expected, seen = compare.reduced(compare.without(command.reply, ignored), compare.without(reply, ignored))
        found = [f"{where}: {line}" for line in compare.differences(expected, seen)]
        if command.took >= LONG and not command.took * 0.4 - 1 <= took <= command.took * 1.7 + 4:
            found.append(f"{where}: took {took:.1f} s, recorded {command.took:.1f} s")
        return found

    def _adapted(self, command: Command) -> Document:
        """The command for this set: its own id in place of the recorded one, its own versions after a random jump."""
        document = copy.deepcopy(command.command)
        config = document.get("replSetReconfig")
        if not isinstance(config, dict):
            return document
        settings = config.get("settings")
        if isinstance(settings, dict) and settings.get("replicaSetId") == self._set_id:
            settings["replicaSetId"] = self._own(command, "settings")["replicaSetId"]
        version = config.get("version")
        if isinstance(version, int) and version > compare.JUMP:
            known = max((number for number in self._versions if number <= version), default=0)
            if version - known > compare.JUMP:
                # Nothing has told since the jump: the recorded command was one more than what there was.
                known = version - 1
                self._versions[known] = self._own(command, "version")
            config["version"] = self._versions[known] + version - known
        return document

    def _own(self, command: Command, field: str) -> Any:
        """A field of the configuration that the set has now."""
        for name in (command.member, *self._stage.servers):
            reply = self._scenario.send(self._stage, replace(command, member=name, db="admin"), {"replSetGetConfig": 1})
            if reply and "config" in reply:
                return reply["config"][field]
        raise LookupError(f"step {command.step}: no member has a configuration")

    def _learn(self, recorded: Any, seen: Any) -> None:
        """Which version of ours stands for which recorded one."""
        if isinstance(recorded, Mapping) and isinstance(seen, Mapping):
            for name, item in recorded.items():
                other = seen.get(name)
                if name in ("version", "setVersion") and isinstance(item, int) and isinstance(other, int):
                    if min(item, other) > compare.JUMP:
                        self._versions[item] = other
                else:
                    self._learn(item, other)
        elif isinstance(recorded, list) and isinstance(seen, list):
            for pair in zip(recorded, seen, strict=False):
                self._learn(*pair)

    # Polls

    def _poll(self, poll: Poll) -> None:
        """Ask as often as the recording did, in the server's time, and compare what was seen, field by field."""
        stage, began = self._stage, time.monotonic()
        seen: list[Change] = []
        latest: dict[tuple[str, str], Document | None] = {}
        limit = poll.duration + (PATIENCE if poll.condition else GRACE)
        while True:
            for member, name in poll.streams:
                reply = stage.glance(member, poll.command(member, name))
                change = Change(member, name, (time.monotonic() - began) * stage.speed, reply)
                shown = sequences.fields(change)
                if (member, name) not in latest or latest[member, name] != shown:
                    latest[member, name] = shown
                    seen.append(change)
            now = (time.monotonic() - began) * stage.speed
            done = sequences.settled(poll.changes, seen)
            if (done and (poll.condition or now >= poll.duration)) or now >= limit:
                break
            time.sleep(poll.interval / stage.speed)
        for stream, change in _last(seen).items():
            recorded = _last(poll.changes).get(stream)
            if recorded is not None and recorded.reply and change.reply:
                self._learn(recorded.reply, change.reply)
        found = sequences.differences(poll.changes, seen, poll.duration, now, stage.speed)
        self.differences += [f"poll {poll.step}: {line}" for line in found if not any(part in line for part in self._scenario.unstable)]
        self._last_at = poll.at + poll.duration
        self._mark = time.monotonic() - self._last_at / stage.speed


def _name(command: Command) -> str:
    return next(iter(command.command))


def _last(changes: Sequence[Change]) -> dict[tuple[str, str], Change]:
    return {(change.member, change.command): change for change in changes}


def _matched(commands: Sequence[Command], answers: Sequence[tuple[Document | None, float]]) -> list[tuple[Document | None, float]]:
    """Answers to commands sent at once, in the order of the recorded ones: which of them came first is chance."""
    left = list(answers)
    ordered = []
    for command in commands:
        code = (command.reply or {}).get("code")
        chosen = next((answer for answer in left if (answer[0] or {}).get("code") == code), left[0])
        left.remove(chosen)
        ordered.append(chosen)
    return ordered


def _main_set_id(recording: Recording) -> ObjectId | None:
    """The replica set id that most commands of a recording name."""
    found: Counter[ObjectId] = Counter()
    for step in recording.steps:
        config = step.command.get("replSetReconfig") if isinstance(step, Command) else None
        if isinstance(config, dict) and isinstance(config.get("settings"), dict) and "replicaSetId" in config["settings"]:
            found[config["settings"]["replicaSetId"]] += 1
    return found.most_common(1)[0][0] if found else None


@contextmanager
def _resolver(stage: Stage) -> Iterator[None]:
    """Let this process resolve the names of the stage as its servers do."""
    original = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        address = stage.resolve(host)
        return original(address, *arguments, **options)

    with mock.patch.object(socket, "getaddrinfo", resolve):
        yield
