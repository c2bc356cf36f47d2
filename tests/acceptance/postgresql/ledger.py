# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a pod, with nothing but the Secret that an application gets, and prints JSON.

ledger.py drill <seconds> [key]     commit row after row until the time is over, then look for every one that was acknowledged
ledger.py keep <text>               commit one row
ledger.py find <text>               whether it is there
ledger.py query <key> <statement> [host]   the rows of a statement, asked by the user whose URI is in that key of the Secret
ledger.py refused <user> [host]     what a login as somebody else without a password is answered
ledger.py encryption <sslmode> <host> [ca]   whether the client's session is encrypted, and that of the server: the pooler's, behind one
ledger.py reach [refused]           whether the pooler can be connected to; `refused`: until it cannot
"""

import collections
import itertools
import json
import socket
import sys
import time
from pathlib import Path

import psycopg2

SECRET = Path("/run/secrets/application")
# Seconds between two commits, and before the next attempt after a failure.
PAUSE = 0.02


def connect(key="uri", host=None):
    connection = psycopg2.connect((SECRET / key).read_text(), connect_timeout=30, **({"host": host} if host else {}))
    connection.autocommit = True
    return connection


def once(statement, *values, key="uri", host=None):
    """One statement on a connection of its own, again for as long as a failover may take."""
    for _attempt in range(40):
        try:
            connection = connect(key, host)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement, values)
                    return cursor.fetchall() if cursor.description else []
            finally:
                connection.close()
        except (psycopg2.OperationalError, psycopg2.errors.ReadOnlySqlTransaction) as error:
            if "permission denied" in str(error) or "no such database" in str(error):
                raise
            # A pod's first connections are refused until its node's network policies know it; a cluster may be failing over.
            time.sleep(1)
    sys.exit("no connection")


def drill(seconds, key="uri"):
    """Each row has the next number. A commit that was not acknowledged may be there or not: its number is not used again."""
    name = f"ledger_{time.time_ns()}"
    once(f"CREATE TABLE {name} (number bigint PRIMARY KEY, leader text)", key=key)
    acknowledged, leaders = [], []
    failures = collections.Counter()
    connection = None
    times = [time.monotonic()]
    ends = times[0] + float(seconds)
    for number in itertools.count():
        if time.monotonic() >= ends:
            break
        try:
            connection = connection or connect(key)
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {name} VALUES (%s, inet_server_addr()) RETURNING leader", (number,))
                leader = cursor.fetchone()[0]
            acknowledged.append(number)
            times.append(time.monotonic())
            if not leaders or leaders[-1] != leader:
                leaders.append(leader)
        except psycopg2.Error as error:
            failures[f"{type(error).__name__}: {error}".strip()[:200]] += 1
            if connection is not None:
                connection.close()
                connection = None
        time.sleep(PAUSE)
    there = {row[0] for row in once(f"SELECT number FROM {name}", key=key)}
    once(f"DROP TABLE {name}", key=key)
    lost = [number for number in acknowledged if number not in there]
    gaps = sorted((later - earlier for earlier, later in itertools.pairwise(times)), reverse=True)
    return {
        "acknowledged": len(acknowledged),
        "lost": lost,
        "failures": failures,
        "gaps": [round(gap, 2) for gap in gaps[:3]],
        "leaders": leaders,
    }


def keep(text):
    once("CREATE TABLE IF NOT EXISTS kept (what text PRIMARY KEY)")
    once("INSERT INTO kept VALUES (%s) ON CONFLICT DO NOTHING", text)
    return True


def find(text):
    return bool(once("SELECT 1 FROM kept WHERE what = %s", text))


def query(key, statement, host=None):
    """What the server refuses comes as text."""
    try:
        return once(statement, key=key, host=host)
    except psycopg2.Error as error:
        return str(error)


def refused(user, host="postgresql-leader"):
    try:
        psycopg2.connect(host=host, user=user, dbname="postgres", password="none", connect_timeout=10).close()
    except psycopg2.OperationalError as error:
        return str(error)
    return ""


def encryption(sslmode, host, ca=""):
    """What is refused comes as text. ca: the authority's certificate; a pod's only place to write is its shared memory."""
    trusted = Path("/dev/shm/ca.crt")
    trusted.write_text(ca)
    more = {"sslrootcert": str(trusted)} if ca else {}
    try:
        connection = psycopg2.connect((SECRET / "uri").read_text(), connect_timeout=30, sslmode=sslmode, host=host, **more)
    except psycopg2.OperationalError as error:
        return str(error)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        found = {"client": connection.info.ssl_in_use, "server": cursor.fetchone()[0]}
    connection.close()
    return found


def reach(wanted="open"):
    host, port = ((SECRET / key).read_text() for key in ("host", "port"))
    for _attempt in range(20):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            found = True
        except OSError:
            found = False
        if found is (wanted == "open"):
            break
        time.sleep(0.5)
    return found


if __name__ == "__main__":
    commands = {function.__name__: function for function in (drill, keep, find, query, refused, encryption, reach)}
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:]), default=str))
