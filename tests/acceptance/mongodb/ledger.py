# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a pod, with nothing but the Secrets that an application gets, and prints JSON.

ledger.py drill <seconds>      write until the time is over, then look for every write that was acknowledged
ledger.py keep <name>          write one document
ledger.py find <name>          whether it is there
ledger.py allowed <user> <database>   what a user may do there: [read, write]
ledger.py reach [refused]      whether a member can be connected to; `refused`: until it cannot
ledger.py status               the set's status and configuration, asked by the administrator
"""

import itertools
import json
import socket
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

SECRETS = Path("/run/secrets")
# Seconds between two writes.
PAUSE = 0.01


def secret(name, key):
    return (SECRETS / name / key).read_text()


def client(key="uri"):
    return MongoClient(secret("mongodb", key), appname="ledger")


def drill(seconds):
    """Each document has the next number. One that is not acknowledged is tried again."""
    ledger = client().get_default_database()[f"ledger-{time.time_ns()}"]
    acknowledged, failures = [], []
    times = [time.monotonic()]
    ends = times[0] + float(seconds)
    number = 0
    while time.monotonic() < ends:
        try:
            ledger.insert_one({"_id": number})
            acknowledged.append(number)
            times.append(time.monotonic())
            number += 1
        except DuplicateKeyError:  # the answer was lost and the write was not: nobody acknowledged it
            number += 1
        except PyMongoError as error:
            failures.append(f"{type(error).__name__}: {error}"[:200])
        time.sleep(PAUSE)
    there = {document["_id"] for document in ledger.with_options(read_concern=ReadConcern("majority")).find({})}
    lost = [number for number in acknowledged if number not in there]
    gaps = sorted((later - earlier for earlier, later in itertools.pairwise(times)), reverse=True)
    return {"acknowledged": len(acknowledged), "lost": lost, "failures": failures, "gaps": [round(gap, 2) for gap in gaps[:3]]}


def keep(name):
    client().get_default_database()["kept"].insert_one({"_id": name})
    return True


def find(name):
    return client().get_default_database()["kept"].find_one({"_id": name}) is not None


def allowed(user, database):
    """user: empty for the application's own."""
    collection = client(f"{user}-uri" if user else "uri")[database]["allowed"]
    may = []
    for action in (lambda: collection.find_one({"_id": 1}), lambda: collection.insert_one({"_id": str(time.time_ns())})):
        try:
            action()
            may.append(True)
        except OperationFailure as error:
            if error.code != 13:
                raise
            may.append(False)
    return may


def reach(wanted="open"):
    host, port = secret("mongodb", "hosts").split(",")[0].split(":")
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


def status():
    username, password = (secret("mongodb-admin", key) for key in ("username", "password"))
    asked = MongoClient(
        secret("mongodb", "hosts").split(","), replicaSet=secret("mongodb", "replica-set"), username=username, password=password
    )
    hello = asked.admin.command("hello")
    config = asked.admin.command("replSetGetConfig")["config"]
    found = asked.admin.command("replSetGetStatus")
    members = {member["name"].split(".")[0]: member["stateStr"] for member in found["members"]}
    return {"hello": hello["hosts"], "members": members, "config": config, "set_id": str(config["settings"]["replicaSetId"])}


if __name__ == "__main__":
    commands = {function.__name__: function for function in (drill, keep, find, allowed, reach, status)}
    for _attempt in range(30):
        try:
            result = commands[sys.argv[1]](*sys.argv[2:])
            break
        except ConnectionFailure:
            # A pod's first connections are refused until its node's network policies know it; a set may be electing.
            time.sleep(1)
    else:
        sys.exit("no connection")
    print(json.dumps(result, default=str))
