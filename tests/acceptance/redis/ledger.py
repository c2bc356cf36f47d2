# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a pod, with nothing but the Secrets that an application gets, and prints JSON.

ledger.py drill <seconds> [plain]   write until the time is over, or `stop`; each write acknowledged by a replica, too, unless `plain`;
                                    then look for every one that was acknowledged
ledger.py stop                      end what writes
ledger.py keep <name>               write one key
ledger.py find <name>               whether it is there
ledger.py allowed <user> <command>...   what a server answers to a command of a user (empty: the application's): the answer or the error
ledger.py reach [refused]           whether the Service can be connected to; `refused`: until it cannot
ledger.py by-sentinel               write and read as an application that asks the sentinels for the master
ledger.py ask <member> <password> <command>...   what a server or sentinel answers to the administrator (empty: the Secret's password)
ledger.py status <member>...        who is what, asked by the administrator
"""

import itertools
import json
import socket
import sys
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import Sentinel

SECRETS = Path("/run/secrets")
# The key that ends what writes.
STOP = "ledger-stop"
# Seconds between two writes, and before the next attempt.
PAUSE = 0.01
# Seconds that an answer may take: a proxy holds its clients while there is no master.
PATIENCE = 15


def secret(name, key):
    return (SECRETS / name / key).read_text()


def application():
    return Redis.from_url(secret("redis", "uri"), socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, decode_responses=True)


def insist(do, seconds=60):
    """The answer, as soon as there is one: on a busy machine a fault may come before the first write, or last beyond the last one."""
    ends = time.monotonic() + seconds
    while True:
        try:
            return do()
        except RedisError:
            if time.monotonic() > ends:
                raise
            time.sleep(PAUSE)


def drill(seconds, how="wait"):
    """Each write adds the next number to a set. One that is not acknowledged is tried again."""
    name = f"ledger-{time.time_ns()}"
    client = application()
    insist(lambda: client.delete(STOP))
    acknowledged, failures = [], []
    times = [time.monotonic()]
    ends = times[0] + float(seconds)
    number = 0
    while time.monotonic() < ends:
        try:
            pipe = client.pipeline(transaction=False)
            pipe.exists(STOP)
            pipe.sadd(name, number)
            if how == "wait":
                pipe.wait(1, 1000)
            ended, *_added, copies = pipe.execute()
            if how == "wait" and copies < 1:
                raise RedisError("no replica has it")
            acknowledged.append(number)
            times.append(time.monotonic())
            number += 1
            if ended:
                break
        except RedisError as error:
            failures.append(f"{type(error).__name__}: {error}"[:200])
        time.sleep(PAUSE)
    there = {int(text) for text in insist(lambda: client.smembers(name))}
    client.delete(name)
    lost = [number for number in acknowledged if number not in there]
    gaps = sorted((later - earlier for earlier, later in itertools.pairwise(times)), reverse=True)
    return {
        "acknowledged": len(acknowledged),
        "lost": lost,
        "failures": sorted(set(failures)),
        "failed": len(failures),
        "gaps": [round(gap, 2) for gap in gaps[:3]],
    }


def stop():
    return application().set(STOP, "yes", ex=60)


def keep(name):
    return application().set(f"kept:{name}", name)


def find(name):
    return application().get(f"kept:{name}") == name


def allowed(user, *command):
    client = application() if not user else member("redis", 6379, user)
    try:
        return str(client.execute_command(*command))
    except ResponseError as error:
        return str(error)


def reach(wanted="open"):
    for _attempt in range(20):
        try:
            socket.create_connection((secret("redis", "host"), int(secret("redis", "port"))), timeout=1).close()
            found = True
        except OSError:
            found = False
        if found is (wanted == "open"):
            break
        time.sleep(0.5)
    return found


def by_sentinel():
    sentinels = [(host, int(port)) for host, port in (text.split(":") for text in secret("redis", "sentinels").split(","))]
    login = {"username": secret("redis", "username"), "password": secret("redis", "password"), "decode_responses": True}
    asked = Sentinel(sentinels, sentinel_kwargs={**login, "socket_timeout": 2}, socket_timeout=2, **login)
    name = secret("redis", "master-name")
    asked.master_for(name).set("kept:by-sentinel", "yes")
    return {"read": asked.master_for(name).get("kept:by-sentinel"), "replicas": len(asked.discover_slaves(name))}


def member(host, port, user="admin"):
    password = secret("redis-members", f"{user}-password")
    return Redis(host=host, port=port, username=user, password=password, socket_timeout=2, decode_responses=True)


def ask(name, password, *command):
    port = 26379 if "sentinel" in name else 6379
    password = password or secret("redis-members", "admin-password")
    return str(Redis(host=name, port=port, username="admin", password=password, socket_timeout=2).execute_command(*command))


def status(*names):
    servers, sentinels = {}, {}
    for host in (name for name in names if "sentinel" not in name):
        try:
            role = member(host, 6379).execute_command("ROLE")
            servers[host] = role[0] if role[0] == "master" or role[3] == "connected" else f"{role[0]}: {role[3]}"
        except RedisError as error:
            servers[host] = f"{type(error).__name__}"
    addresses = {socket.gethostbyname(host): host for host in servers}
    for host in (name for name in names if "sentinel" in name):
        try:
            address, _port = member(host, 26379).execute_command("SENTINEL", "get-master-addr-by-name", secret("redis", "master-name"))
            sentinels[host] = addresses.get(address, address)
        except (RedisError, TypeError) as error:
            sentinels[host] = f"{type(error).__name__}"
    return {"servers": servers, "sentinels": sentinels}


COMMANDS = {
    "drill": drill,
    "stop": stop,
    "keep": keep,
    "find": find,
    "allowed": allowed,
    "reach": reach,
    "by-sentinel": by_sentinel,
    "ask": ask,
    "status": status,
}
print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
