# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the whole line and the programs beside this one, and records it: run.py [--list] [--rounds N] [NAME ...]

Without a name: the measurements that disturb nothing. Each result is appended to benchmarks/results.jsonl with the machine
and the commit it was measured on; the table in benchmarks/README.md is written anew from the last result of each.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
RESULTS = HERE / "results.jsonl"
BEGIN, END = "<!-- begin: written by make bench -->", "<!-- end: written by make bench -->"
INSTANCE = "wesago-local"
# A line at least this often while something long runs (seconds).
HEARTBEAT = 20.0


@dataclass(frozen=True)
class Measurement:
    """One figure.

    target:   seconds that it may take on two cores.
    disrupts: it takes the cluster or the instance down on the way.
    measure:  does it once and returns the seconds.
    """

    name: str
    text: str
    target: float
    disrupts: bool
    measure: Callable[[], float]


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> float:
    """Seconds that a command takes; its output goes to a file that is shown when it fails. CalledProcessError when it does."""
    words = [str(word) for word in command]
    began = time.monotonic()
    said = began
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(
            words, cwd=PROJECT, env={**os.environ, **(environment or {})}, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        while process.poll() is None:
            time.sleep(0.02)
            if time.monotonic() - said > HEARTBEAT:
                said = time.monotonic()
                print(f"    {' '.join(words)}: {said - began:.0f} s", flush=True)
        seconds = time.monotonic() - began
        if process.returncode:
            log.seek(0)
            sys.stderr.write("".join(log.readlines()[-30:]))
            raise subprocess.CalledProcessError(process.returncode, words)
    return seconds


def playbook(name: str, *arguments: str) -> list[str | Path]:
    return [Path(sys.executable).with_name("ansible-playbook"), name, "-i", "inventories/local", *arguments]


def destroy() -> None:
    run(playbook("playbooks/destroy.yml", "-e", f"confirm={INSTANCE}", "-e", "destroy_volumes=true"))


def first_delivery() -> float:
    """Into an empty namespace; cluster and images are there."""
    destroy()
    return run(playbook("site.yml"))


def second_delivery() -> float:
    return run(playbook("site.yml"))


def cluster_from_cached_programs() -> float:
    run(["make", "cluster-down", "ARGS="])
    return run(["make", "cluster", "ARGS="])


@contextmanager
def empty_cache() -> Iterator[dict[str, str]]:
    """An environment whose cache is a new, empty directory."""
    directory = Path(tempfile.mkdtemp(prefix="stackgate-cold."))
    try:
        yield {"STACKGATE_CACHE": str(directory), "PIP_NO_CACHE_DIR": "1"}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def cold_up() -> float:
    """Everything from nothing: what a new user waits for."""
    run(["make", "cluster-down", "ARGS="])
    with empty_cache() as environment:
        try:
            return run(["make", "up", "ARGS="], environment)
        finally:
            run(["make", "cluster-down", "ARGS="], environment)


def beside(script: str, contestant: str) -> Callable[[], float]:
    """The median of one contestant in one of the programs of this directory."""

    def measure() -> float:
        cache = os.environ.get("STACKGATE_CACHE") or str(Path.home() / ".cache/stackgate")
        with tempfile.NamedTemporaryFile(suffix=".json") as result:
            # They make namespaces of their own.
            run([sys.executable, HERE / script, "--json", result.name], {"STACKGATE_KUBECONFIG": f"{cache}/admin.kubeconfig"})
            return statistics.median(json.loads(Path(result.name).read_text())["seconds"][contestant])

    return measure


MEASUREMENTS = [
    Measurement(
        "manifest", "one manifest task of 10 objects, nothing to change", 0.15, False, beside("manifest.py", "stackgate.k3s.manifest")
    ),
    Measurement("gate", "one gate task of 10 conditions, all hold", 0.15, False, beside("gate.py", "stackgate.k3s.gate")),
    Measurement(
        "mongodb", "a replica set of three with users: beyond the election", 2, False, beside("mongodb.py", "bootstrap beyond the election")
    ),
    Measurement(
        "mongodb-again", "one mongodb_replica_set task of three members, nothing to do", 0.6, False, beside("mongodb.py", "nothing to do")
    ),
    Measurement(
        "mongodb-idle",
        "three servers of the double for ten seconds, nobody asks: processor time",
        1,
        False,
        beside("mongodb.py", "ten idle seconds of three servers"),
    ),
    Measurement("second", "site.yml again, nothing to change", 10, False, second_delivery),
    Measurement("first", "site.yml into an empty namespace, images in the registry", 120, True, first_delivery),
    Measurement("cluster", "embedded cluster from cached programs, all add-ons ready", 45, True, cluster_from_cached_programs),
    Measurement("cold", "make up with nothing cached: programs, images, cluster, delivery", 1500, True, cold_up),
]


def surroundings() -> dict[str, Any]:
    """The machine and the commit, as far as they matter for a figure."""
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": commit,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20),
        "load": round(os.getloadavg()[0], 1),
    }


def table() -> str:
    """The last result of each measurement, as Markdown."""
    last: dict[str, dict[str, Any]] = {}
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            result = json.loads(line)
            last[result["name"]] = result
    text = "| what | target | measured | rounds | cores | load before | date | commit |\n|---|---|---|---|---|---|---|---|\n"
    for one in MEASUREMENTS:
        if result := last.get(one.name):
            text += f"| {one.text} (`{one.name}`) | {one.target:g} s | {result['median']:.3g} s | {len(result['seconds'])} "
            text += f"| {result['cores']} | {result['load']} | {result['date']} | {result['commit']} |\n"
    return text


def write_table() -> None:
    page = HERE / "README.md"
    head, _begin, rest = page.read_text().partition(BEGIN)
    _old, _end, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{table()}{END}{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="name the measurements and end")
    options = parser.parse_args()
    known = {one.name: one for one in MEASUREMENTS}
    if options.list:
        for one in MEASUREMENTS:
            print(f"{one.name:14} {one.text}; target {one.target:g} s" + ("; takes down what it measures" if one.disrupts else ""))
        return 0
    if wrong := [name for name in options.names if name not in known]:
        print(f"expected: names of measurements ({', '.join(known)}); seen: {', '.join(wrong)}", file=sys.stderr)
        return 2
    missed = 0
    for one in [known[name] for name in options.names] or [one for one in MEASUREMENTS if not one.disrupts]:
        facts = surroundings()
        print(f"{one.name}: {one.text}", flush=True)
        seconds = [round(one.measure(), 3) for _round in range(options.rounds)]
        median = statistics.median(seconds)
        missed += median > one.target
        print(f"  {median:.3g} s of {one.target:g} s allowed{'' if median <= one.target else ': MISSED'}", flush=True)
        with RESULTS.open("a") as results:
            results.write(json.dumps({"name": one.name, "median": median, "seconds": seconds, **facts}) + "\n")
        write_table()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
