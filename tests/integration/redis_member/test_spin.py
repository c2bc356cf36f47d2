# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection that was refused while it was being opened, as a Service without endpoints refuses it, and then comes about.

In a network of its own, so that nobody else's connections are refused: the test's thread moves there, and what it starts comes along.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis_programs import redis_member, redis_server
from redis_servers import RedisProcess, RedisSet

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not all(map(shutil.which, ("ip", "nft"))), reason="root, ip and nft refuse connections as a cluster does"
)
TABLE = "spin"
CLONE_NEWNET = 0x40000000


def run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=10, capture_output=True)


@pytest.fixture(autouse=True)
def own_network() -> Iterator[None]:
    """A network with nothing but a loopback device, for this thread and what it starts from now on."""
    if not redis_server() or not redis_member():  # got, or built, while there is still a way to where they come from
        pytest.skip("there is no redis-server ($STACKGATE_REDIS_SERVER, PATH, apt-get), or no Go")
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        try:
            run("ip", "link", "set", "lo", "up")
            yield
        finally:
            assert libc.setns(before.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def refused(address: str, port: int) -> Iterator[None]:
    """First packets of connections to an address are answered with ICMP."""
    run("nft", "add", "table", "ip", TABLE)
    try:
        run("nft", "add", "chain", "ip", TABLE, "output", "{ type filter hook output priority 0; }")
        syn = ["tcp", "flags", "&", "(syn|ack)", "==", "syn", "reject", "with", "icmp", "type", "port-unreachable"]
        run("nft", "add", "rule", "ip", TABLE, "output", "ip", "daddr", address, "tcp", "dport", str(port), *syn)
        yield
    finally:
        run("nft", "delete", "table", "ip", TABLE)


def share(process: RedisProcess, seconds: float = 2.0) -> float:
    """Of a processor, that the server of a process takes; all of it when it is ended meanwhile, since that is for having spun."""

    def ticks(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    try:
        pid = process.server_pid
        before = ticks(pid)
        time.sleep(seconds)
        return (ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / seconds
    except (OSError, IndexError):
        return 1.0


def test_a_sentinel_that_spins_is_started_anew(redis_set: RedisSet) -> None:
    sentinel, master = redis_set.sentinels[0], redis_set.master()

    def spins() -> bool:
        """Whether it does after its connections to the master were ended, and the next attempts, within a second, were refused."""
        with master.client() as client, contextlib.suppress(redis.RedisError):
            client.ping()  # over a connection that is there before others are refused
            with refused(master.address, master.port):
                client.execute_command("CLIENT", "KILL", "USER", "sentinel")
                time.sleep(0.5)  # the second attempt is made a second after the first one
        time.sleep(1.5)
        return share(sentinel) > 0.15

    assert share(sentinel) < 0.1
    if not any(spins() for _attempt in range(10)):
        pytest.skip("whether a sentinel spins is a matter of milliseconds, and of the kernel: this one did not")
    redis_set.until("it is found", lambda: "of processor time" in sentinel.log())
    redis_set.until("it is mended", lambda: share(sentinel) < 0.1)
    redis_set.wait()
