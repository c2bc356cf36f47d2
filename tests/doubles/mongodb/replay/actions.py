# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to the servers of a scenario, as building blocks."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

from pymongo import WriteConcern

from .stage import Stage

# What it returns does not matter.
Action = Callable[[Stage], object]

# Places of servers that a recording speaks of without asking them.
PLACES = {
    "a1": "21:27121",
    "a2": "22:27122",
    "a3": "23:27123",
    "d": "24:27124",
    "e": "25:27125",
    "f": "26:27126",
    "g": "27:27127",
    "b1": "81:27181",
    "b2": "82:27182",
    "b3": "83:27183",
    "f1": "41:27141",
    "f2": "42:27142",
    "f3": "43:27143",
    "w1": "44:27144",
    "w2": "45:27145",
    "w3": "46:27146",
    "k1": "51:27151",
    "k2": "52:27152",
    "k3": "53:27153",
    "y1": "67:27167",
    "y2": "68:27168",
    "y3": "69:27169",
    "z1": "71:27171",
    "z2": "72:27172",
    "z3": "73:27173",
}


def fresh(*names: str) -> Action:
    """Servers without a configuration."""

    def prepare(stage: Stage) -> None:
        for name in names:
            stage.server(name, PLACES.get(name, ""))

    return prepare


def replica_set(*names: str, version: int = 1, ids: Sequence[int] = (), key: str | None = None, others: Sequence[str] = ()) -> Action:
    """A set whose first member is primary. ids: the members' `_id`, if not 0, 1, 2. others: fresh servers beside it."""

    def prepare(stage: Stage) -> None:
        for name in (*names, *others):
            stage.server(name, PLACES.get(name, ""), key=key)
        numbers = ids or range(len(names))
        stage.initiate([{"_id": number, "host": stage.host(name)} for number, name in zip(numbers, names, strict=True)], version)

    return prepare


def then(*actions: Action) -> Action:
    def run(stage: Stage) -> None:
        for action in actions:
            action(stage)

    return run


def wipe(name: str) -> Action:
    return lambda stage: stage.servers[name].wipe()


def stop(*names: str) -> Action:
    """SIGTERM, and wait for the end."""
    return lambda stage: stage.stop(*names)


def insert(member: str, count: int, db: str = "test") -> Action:
    """Documents in the collection c, at a majority."""

    def run(stage: Stage) -> None:
        collection = stage.client(member)[db].get_collection("c", write_concern=WriteConcern("majority"))
        for start in range(0, count, 1000):
            collection.insert_many([{"_id": number} for number in range(start, min(count, start + 1000))])

    return run


def restart(name: str, **options: str | None) -> Action:
    """SIGTERM, and start again, with another set name or key (None: without), or empty (wipe="yes")."""

    def run(stage: Stage) -> None:
        server = stage.servers[name]
        stage.stop(name)
        if "wipe" in options:
            server.wipe()
        for option, flag in (("set_name", "--replSet"), ("key", "--keyFile")):
            if option in options:
                if flag in server.options:
                    place = server.options.index(flag)
                    del server.options[place : place + 2]
                if (value := options[option]) is not None:
                    server.options += [flag, str(stage.key_file(value)) if option == "key" else value]
        stage.start(name)

    return run


def freeze(*names: str) -> Action:
    return lambda stage: stage.freeze(*names)


def thaw(*names: str) -> Action:
    return lambda stage: stage.thaw(*names)


def kill(*names: str) -> Action:
    return lambda stage: stage.kill(*names)


def start(*names: str) -> Action:
    return lambda stage: stage.start(*names)


def sleep(seconds: float) -> Action:
    return lambda stage: stage.sleep(seconds)


def primary(name: str) -> Action:
    return lambda stage: stage.wait_primary(name)


def version(name: str, number: int) -> Action:
    """Wait for the server's own reconfiguration."""
    return lambda stage: stage.wait_version(name, number)


def hold(name: str) -> Action:
    """Keep a member from standing for election, so that the recorded one wins."""
    return lambda stage: stage.tell(name, {"replSetFreeze": 300})


def sigterm(name: str) -> Action:
    return lambda stage: stage.servers[name].signal(signal.SIGTERM)


def exits(name: str, code: int = 0) -> Action:
    def check(stage: Stage) -> None:
        seen = stage.servers[name].wait()
        assert seen == code, f"{name} ended with {seen}"

    return check
