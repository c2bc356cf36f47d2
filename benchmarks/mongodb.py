# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the task mongodb_replica_set costs: beyond the servers' own election at bootstrap, and when there is nothing to do; and the double.

    python benchmarks/mongodb.py [--rounds 3] [--tasks 10] [--json FILE]
    STACKGATE_KUBECONFIG=... python benchmarks/mongodb.py --namespace chathub-local ...

Three servers on this machine with access control: the test double with a real server's timers, or a real mongod when
STACKGATE_MONGOD or PATH has one. Bootstrap makes the set, its administrator and two users; counted is what the task took longer than
until the first of them was primary. Nothing to do is measured inside one ansible-playbook, as the seconds of a run with many tasks
less those of a run with one, by the number of further tasks; with --namespace on the pods of a running instance of the role mongodb,
through the API server. Idle is the processor time that the three servers take in ten seconds in which nobody asks them anything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT / "tests/tools")]

from actions import perform  # noqa: E402
from mongodb_servers import PASSWORD, ReplicaSetServers  # noqa: E402
from plays import timed  # noqa: E402

from ansible_collections.stackgate.k3s.plugins.action import mongodb_replica_set  # noqa: E402

BOOTSTRAP, NOTHING, IDLE = "bootstrap beyond the election", "nothing to do", "ten idle seconds of three servers"
USERS = [
    {"name": "shop", "database": "shop", "roles": ["readWrite"], "password": "shop-password"},
    {"name": "exporter", "roles": ["clusterMonitor", {"role": "read", "db": "local"}], "password": "exporter-password"},
]


def options_for(servers: ReplicaSetServers) -> dict[str, Any]:
    """The options of the task for these servers."""
    members = [{"name": f"m{number}", "host": host} for number, host in enumerate(servers.hosts)]
    return {"name": "rs0", "members": members, "login_user": "root", "login_password": PASSWORD, "users": USERS}


def options_of(namespace: str, kubeconfig: str, replicas: int) -> dict[str, Any]:
    """The options of the task for an instance that the role mongodb has made; its users are left out, they are looked at no further."""
    domain = f"mongodb-members.{namespace}.svc.cluster.local:27017"
    members = [{"name": f"mongodb-{n}", "pod": f"mongodb-{n}", "host": f"mongodb-{n}.{domain}"} for n in range(replicas)]
    users = [
        {"name": "exporter", "roles": ["clusterMonitor", {"role": "read", "db": "local"}], "password_secret": "mongodb-exporter"},
        {"name": "backup", "roles": ["backup"], "password_secret": "mongodb-backup"},
    ]
    where = {"namespace": namespace, "kubeconfig": kubeconfig, "credentials_secret": "mongodb-admin"}
    return {"name": "rs0", "members": members, "users": users, **where}


def bootstrap(servers: ReplicaSetServers) -> float:
    """Seconds that the task takes longer than until there is a primary."""
    elected: list[float] = []

    def watch() -> None:
        servers.wait_primary()
        elected.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = perform(mongodb_replica_set, options_for(servers))
    ended = time.monotonic()
    watcher.join()
    assert result["changed"], result
    return ended - elected[0]


def nothing(options: dict[str, Any], tasks: int) -> float:
    """Seconds of one task with nothing to do."""
    task = {"stackgate.k3s.mongodb_replica_set": options, "register": "done", "failed_when": "done is changed or done is failed"}
    one = timed([task])
    return (timed([task] * tasks) - one) / (tasks - 1)


def idle(servers: ReplicaSetServers) -> float:
    """Processor seconds of all servers in ten seconds."""

    def used() -> float:
        fields = [Path(f"/proc/{member.pid}/stat").read_text().rpartition(") ")[2].split() for member in servers.members]
        return sum(int(values[11]) + int(values[12]) for values in fields) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(10)
    return used() - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--namespace", help="measure on the pods of this instance")
    parser.add_argument("--replicas", type=int, default=3, help="how many members the instance has")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=10, help="tasks of the longer playbook")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    kubeconfig = os.environ.get("STACKGATE_KUBECONFIG", "")
    if options.namespace and not kubeconfig:
        parser.error("expected: STACKGATE_KUBECONFIG names a kubeconfig")

    figures: dict[str, list[float]] = {}
    for _round in range(options.rounds):
        if options.namespace:
            given = options_of(options.namespace, kubeconfig, options.replicas)
            figures.setdefault(NOTHING, []).append(nothing(given, options.tasks))
            continue
        with ReplicaSetServers(3, auth=True) as servers:
            figures.setdefault(BOOTSTRAP, []).append(bootstrap(servers))
            figures.setdefault(NOTHING, []).append(nothing(options_for(servers), options.tasks))
            figures.setdefault(IDLE, []).append(idle(servers))

    print(f"median of {options.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print("| | seconds |\n|---|---:|")
    for name, seconds in figures.items():
        print(f"| {name} | {statistics.median(seconds):.3f} |")
    if options.json:
        options.json.write_text(json.dumps({"seconds": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
