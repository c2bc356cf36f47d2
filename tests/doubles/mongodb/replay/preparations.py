# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets as single scenarios begin with them, and who asked in those with several users."""

from __future__ import annotations

from .actions import PLACES, Action, fresh, insert, replica_set, restart
from .recording import Command, Document
from .stage import KEY, OTHER_KEY, Stage

ROOT = {"username": "root", "password": "secret-1", "authSource": "admin"}


def ask(stage: Stage, command: Command, document: Document) -> Document | None:
    return stage.ask(command.member, document, command.db)


def bad_initiates(stage: Stage) -> None:
    fresh("d", "g")(stage)
    stage.server("e", PLACES["e"], set_name="rs1")
    stage.server("f", PLACES["f"], set_name=None)
    stage.server("a", PLACES["a1"])
    stage.initiate([{"_id": 0, "host": stage.host("a")}])
    stage.silent("28:27128")


def others_to_add(stage: Stage) -> None:
    replica_set("a1", "a2", "a3", "d", version=82589, ids=(0, 1, 2, 11))(stage)
    stage.server("f", PLACES["f"], set_name="rs1")
    stage.server("g", PLACES["g"])
    stage.server("standalone", "28:27128", set_name=None)


def dead_voter(stage: Stage) -> None:
    for name in ("b3", "b2", "b1"):
        stage.server(name, PLACES[name])
    hosts = [stage.host(name) for name in ("b3", "b2", "b1")]
    hidden = {"_id": 0, "host": hosts[2], "priority": 0, "hidden": True}
    stage.tell("b3", {"replSetInitiate": {"_id": "rs0", "members": [hidden, {"_id": 1, "host": hosts[1]}, {"_id": 2, "host": hosts[0]}]}})
    stage.wait_states("b3", ["SECONDARY", "SECONDARY", "PRIMARY"])
    stage.settle("b3")
    config = stage.tell("b3", {"replSetGetConfig": 1})["config"]
    stage.tell("b3", {"replSetReconfig": {**config, "version": 2}})
    stage.settle("b3")
    stage.kill("b2")
    stage.wait_states("b3", ["SECONDARY", "(not reachable/healthy)", "PRIMARY"])


def tagged(stage: Stage) -> None:
    """a1, a2, a3 as 04i leaves them."""
    for name in ("a1", "a2", "a3"):
        stage.server(name) if name in stage.recording.addresses else stage.server(name, PLACES[name])
    members: list[Document] = [{"_id": number, "host": stage.host(name)} for number, name in ((0, "a1"), (1, "a2"), (5, "a3"))]
    members[2]["tags"] = {"zone": "z1"}
    stage.initiate(members, version=12)
    stage.tell("a1", {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}, "defaultReadConcern": {"level": "majority"}})


def former_members(stage: Stage) -> None:
    """a1, a2, a3; d and e were members once."""
    replica_set("a1", "a2", "a3", "d", "e")(stage)
    for number, count in ((2, 4), (189_697, 3)):
        config = stage.tell("a1", {"replSetGetConfig": 1})["config"]
        stage.tell("a1", {"replSetReconfig": {**config, "version": number, "members": config["members"][:count]}})
        stage.settle("a1")
    stage.sleep(4)


def one_document(stage: Stage) -> None:
    stage.tell("a1", {"insert": "c", "documents": [{"a": 1}], "writeConcern": {"w": 3}}, "test")


def second_primary(stage: Stage) -> None:
    """f2 is primary of f1, f2, f3."""
    for name in ("f1", "f2", "f3"):
        stage.server(name, PLACES[name])
    members = [{"_id": number, "host": stage.host(name)} for number, name in enumerate(("f1", "f2", "f3"))]
    stage.tell("f2", {"replSetInitiate": {"_id": "rs0", "members": members}})
    stage.wait_states("f2", ["SECONDARY", "PRIMARY", "SECONDARY"])
    stage.settle("f2")
    config = stage.tell("f2", {"replSetGetConfig": 1})["config"]
    stage.tell("f2", {"replSetReconfig": {**config, "version": 2}})
    stage.settle("f2")
    stage.sleep(4)


def forced_single(stage: Stage) -> None:
    """f1 alone after a forced reconfiguration; f2 and f3 run and know that they are out."""
    replica_set("f1", "f2", "f3", version=2)(stage)
    stage.kill("f2", "f3")
    stage.wait_states("f1", ["SECONDARY", "(not reachable/healthy)", "(not reachable/healthy)"])
    config = stage.tell("f1", {"replSetGetConfig": 1})["config"]
    stage.tell("f1", {"replSetReconfig": {**config, "version": 3, "members": config["members"][:1]}, "force": True})
    stage.wait_states("f1", ["PRIMARY"])
    stage.start("f2", "f3")
    stage.until(
        "f2 and f3 know that they are out",
        lambda: [(stage.ask(name, {"replSetGetStatus": 1}) or {}).get("code") for name in ("f2", "f3")],
        holds=lambda codes: codes == [93, 93],
    )


def sync_held(stage: Stage) -> None:
    """w3 is empty, and stays in its initial sync."""
    replica_set("w1", "w2", "w3")(stage)
    insert("w1", 100, db="app")(stage)
    server = stage.servers["w3"]
    server.options += ["--setParameter", "enableTestCommands=1"]
    server.options += ["--setParameter", 'failpoint.initialSyncHangBeforeFinish={"mode":"alwaysOn"}']
    restart("w3", wipe="yes")(stage)


def with_root(stage: Stage) -> None:
    """k1, k2, k3 with the user root."""
    # The localhost exception gives no replSetGetConfig: the set settles without it.
    for name in ("k1", "k2", "k3"):
        stage.server(name, PLACES[name], key=KEY)
    members = [{"_id": number, "host": stage.host(name)} for number, name in enumerate(("k1", "k2", "k3"))]
    stage.tell("k1", {"replSetInitiate": {"_id": "rs0", "members": members}})
    stage.wait_states("k1", ["PRIMARY", "SECONDARY", "SECONDARY"])
    command = {"createUser": "root", "pwd": ROOT["password"], "roles": ["root"], "writeConcern": {"w": "majority", "wtimeout": 60_000}}
    stage.wait_primary("k1")
    stage.tell("k1", command)
    # Until heartbeats have told everybody everything.
    stage.sleep(5)


def keys_differ(stage: Stage) -> None:
    with_root(stage)
    stage.login = dict(ROOT)
    stage.settle("k1")
    stage.server("kd", key=OTHER_KEY)
    stage.server("ke")
    stage.server("km1", key=KEY)
    stage.server("km2", "57:27157", key=OTHER_KEY)
    stage.server("kn")
    stage.login = {}


def as_root_on_k(stage: Stage, command: Command, document: Document) -> Document | None:
    """Members of the set know the user root, all others only the exception."""
    stage.login = dict(ROOT) if command.member in ("k1", "k3") else {}
    return stage.ask(command.member, document, command.db)


def first_set(stage: Stage) -> None:
    """x1 alone is rs0."""
    stage.server("x1")
    stage.initiate([{"_id": 0, "host": stage.host("x1")}])


def move(stage: Stage) -> None:
    """The data of x1 at another address."""
    stage.stop("x1")
    server = stage.servers["x1"]
    host, _colon, port = stage.recording.addresses["x1"][1].rpartition(":")
    server.address, server.port = host, int(port)
    stage.start("x1")


NAMES = {f"mongo-{number}.mongo.db.svc.cluster.local": str(61 + number) for number in range(3)}


def named_servers(*servers: str) -> Action:
    def run(stage: Stage) -> None:
        stage.names(NAMES)
        for number, name in enumerate(servers):
            stage.server(name, f"{61 + number}:27017")

    return run


def named_initiate(*servers: str) -> Action:
    """A set whose members are host names."""

    def run(stage: Stage) -> None:
        members = [{"_id": number, "host": f"{name}:27017"} for number, name in enumerate(NAMES)]
        stage.tell(servers[0], {"replSetInitiate": {"_id": "rs0", "members": members}})
        stage.wait_states(servers[0], ["PRIMARY", "SECONDARY", "SECONDARY"])
        stage.settle(servers[0])

    return run


def named_set(*servers: str, tunnels: bool = False) -> Action:
    def run(stage: Stage) -> None:
        named_servers(*servers)(stage)
        named_initiate(*servers)(stage)
        if tunnels:
            stage.tunnel("1:39017", servers[0])
            stage.tunnel("1:39018", servers[1])

    return run


def names_lost(stage: Stage) -> None:
    stage.names({})


def names_back(stage: Stage) -> None:
    stage.names(NAMES)


def restart_all(*servers: str) -> Action:
    def run(stage: Stage) -> None:
        stage.stop(*servers)
        stage.start(*servers)

    return run


def restart_without_names(*servers: str) -> Action:
    """Stop, take the names away, start."""

    def run(stage: Stage) -> None:
        stage.stop(*servers)
        stage.names({})
        stage.start(*servers)

    return run


def initiate_z(stage: Stage) -> None:
    stage.initiate([{"_id": number, "host": stage.host(f"z{number + 1}")} for number in range(3)])


# Who asked what in 08b, by step.
_APP, _MONITOR = {"username": "app", "password": "app-1", "authSource": "app"}, {"username": "mon", "password": "mon-1"}
_WHO = [(range(48, 61), _APP), (range(61, 69), _MONITOR), (range(73, 74), _MONITOR)]
# Passwords of the driver's own logins in 08b, which the recording leaves out, by step.
_PASSWORDS = {2: "wrong", 3: "x", 8: "wrong", 29: "secret-1", 30: "secret-2"}


def by_note(stage: Stage, command: Command, document: Document) -> Document | None:
    """Each note in 09 is about a client of its own."""
    return stage.ask(command.member, document, command.db, command.note if "://" in command.member else "")


def as_recorded_user(stage: Stage, command: Command, document: Document) -> Document | None:
    if "(driver authenticates)" in document:
        stage.login = {
            "username": document["user"],
            "password": _PASSWORDS.get(command.step, ROOT["password"]),
            "authSource": document["authSource"],
            "authMechanism": document["(driver authenticates)"],
            # A connection of its own.
            "appname": f"login-{command.step}",
        }
        reply = stage.ask(command.member, {"ping": 1})
        return {"ok": 1} if reply is not None and reply.get("ok") == 1 else reply
    if command.step == 1:
        stage.login = {**ROOT, "password": "wrong", "authMechanism": "SCRAM-SHA-256"}
    else:
        # The connection to the primary stays logged in when the password changes.
        root = {**ROOT, "password": "secret-2"} if command.step > 26 and command.member == "k2" else ROOT
        who = next((who for steps, who in _WHO if command.step in steps), root)
        stage.login = dict(who)
    return stage.ask(command.member, document, command.db)
