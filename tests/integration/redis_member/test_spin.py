# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection that was refused while it was being opened, as a Service without endpoints refuses it, and then comes about."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis_servers import RedisProcess, RedisSet

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not shutil.which("nft"), reason="root and nft refuse connections as a cluster does")
TABLE = "stackgate_test_spin"


def nft(*words: str) -> None:
    subprocess.run(["nft", *words], check=True, timeout=10, capture_output=True)


@contextlib.contextmanager
def refused(address: str, port: int) -> Iterator[None]:
    """First packets of connections to an address are answered with ICMP."""
    nft("add", "table", "ip", TABLE)
    try:
        nft("add", "chain", "ip", TABLE, "output", "{ type filter hook output priority 0; }")
        syn = ["tcp", "flags", "&", "(syn|ack)", "==", "syn", "reject", "with", "icmp", "type", "port-unreachable"]
        nft("add", "rule", "ip", TABLE, "output", "ip", "daddr", address, "tcp", "dport", str(port), *syn)
        yield
    finally:
        nft("delete", "table", "ip", TABLE)


def share(process: RedisProcess, seconds: float = 1.0) -> float:
    """Of a processor, that the server of a process takes."""

    def ticks() -> int:
        fields = Path(f"/proc/{process.server_pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def test_a_sentinel_that_spins_is_started_anew(redis_set: RedisSet) -> None:
    sentinel, master = redis_set.sentinels[0], redis_set.master()

    def spins() -> bool:
        """Whether it does after its connections to the master were ended, and the next attempts, within a second, were refused."""
        with master.client() as client, contextlib.suppress(redis.RedisError):
            client.ping()  # over a connection that is there before others are refused
            with refused(master.address, master.port):
                client.execute_command("CLIENT", "KILL", "USER", "sentinel")
                time.sleep(0.5)
        time.sleep(2.5)
        return all(share(sentinel) > 0.2 for _look in range(2))

    try:
        redis_set.until(spins, "a sentinel spins", 60)
    except TimeoutError:
        pytest.skip("whether a sentinel spins is a matter of milliseconds, and of the kernel: this one did not")
    redis_set.until(lambda: "of processor time" in sentinel.log(), "it is found")
    redis_set.until(lambda: share(sentinel) < 0.1, "it is mended")
    redis_set.wait()
