# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario needs besides its commands: the servers it begins with, and what was done to them, by step.

Some recordings began where another one had ended. Here each begins by itself: with the members, their ids and the
configuration's version of its first step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .actions import (
    PLACES,
    Action,
    exits,
    freeze,
    fresh,
    hold,
    insert,
    kill,
    primary,
    replica_set,
    restart,
    sigterm,
    sleep,
    start,
    thaw,
    then,
    version,
    wipe,
)
from .recording import Command, Document
from .stage import KEY, OTHER_KEY, Stage

Send = Callable[[Stage, Command, Document], Document | None]
# What replSetGetStatus tells of earlier elections: those of the preparation are not the recorded ones.
HISTORY = ("electionCandidateMetrics", "electionParticipantMetrics")
ROOT = {"username": "root", "password": "secret-1", "authSource": "admin"}


def _ask(stage: Stage, command: Command, document: Document) -> Document | None:
    return stage.ask(command.member, document, command.db)


@dataclass(frozen=True)
class Scenario:
    """actions: step -> what was done before it. at_once: steps that were sent at the same time.

    left_out: steps that are not played, each with its reason. ignored, ignored_in: fields that are not compared ("members.tags"),
    everywhere or in a step. unstable: what a poll's differences must not contain to count. unpolled: polls whose time is waited for only.
    """

    prepare: Action
    actions: Mapping[int, Action] = field(default_factory=dict)
    at_once: frozenset[int] = frozenset()
    left_out: Mapping[int, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    ignored_in: Mapping[int, Sequence[str]] = field(default_factory=dict)
    unstable: Sequence[str] = ()
    unpolled: frozenset[int] = frozenset()
    canonical: bool = False
    names: bool = False
    send: Send = _ask


def _bad_initiates(stage: Stage) -> None:
    fresh("d", "g")(stage)
    stage.server("e", PLACES["e"], set_name="rs1")
    stage.server("f", PLACES["f"], set_name=None)
    stage.server("a", PLACES["a1"])
    stage.initiate([{"_id": 0, "host": stage.host("a")}])
    stage.silent("28:27128")


def _others_to_add(stage: Stage) -> None:
    replica_set("a1", "a2", "a3", "d", version=82589, ids=(0, 1, 2, 11))(stage)
    stage.server("f", PLACES["f"], set_name="rs1")
    stage.server("g", PLACES["g"])
    stage.server("standalone", "28:27128", set_name=None)


def _dead_voter(stage: Stage) -> None:
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


def _tagged(stage: Stage) -> None:
    """a1, a2, a3 as 04i leaves them."""
    for name in ("a1", "a2", "a3"):
        stage.server(name) if name in stage.recording.addresses else stage.server(name, PLACES[name])
    members: list[Document] = [{"_id": number, "host": stage.host(name)} for number, name in ((0, "a1"), (1, "a2"), (5, "a3"))]
    members[2]["tags"] = {"zone": "z1"}
    stage.initiate(members, version=12)
    stage.tell("a1", {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}, "defaultReadConcern": {"level": "majority"}})


def _former_members(stage: Stage) -> None:
    """a1, a2, a3; d and e were members once."""
    replica_set("a1", "a2", "a3", "d", "e")(stage)
    for number, count in ((2, 4), (189_697, 3)):
        config = stage.tell("a1", {"replSetGetConfig": 1})["config"]
        stage.tell("a1", {"replSetReconfig": {**config, "version": number, "members": config["members"][:count]}})
        stage.settle("a1")
    stage.sleep(4)


def _one_document(stage: Stage) -> None:
    stage.tell("a1", {"insert": "c", "documents": [{"a": 1}], "writeConcern": {"w": 3}}, "test")


def _second_primary(stage: Stage) -> None:
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


def _forced_single(stage: Stage) -> None:
    """f1 alone after a forced reconfiguration; f2 and f3 run and know that they are out."""
    replica_set("f1", "f2", "f3", version=2)(stage)
    stage.kill("f2", "f3")
    stage.wait_states("f1", ["SECONDARY", "(not reachable/healthy)", "(not reachable/healthy)"])
    config = stage.tell("f1", {"replSetGetConfig": 1})["config"]
    stage.tell("f1", {"replSetReconfig": {**config, "version": 3, "members": config["members"][:1]}, "force": True})
    stage.wait_states("f1", ["PRIMARY"])
    stage.start("f2", "f3")
    for _attempt in stage.attempts(30):
        if all((stage.ask(name, {"replSetGetStatus": 1}) or {}).get("code") == 93 for name in ("f2", "f3")):
            return


def _sync_held(stage: Stage) -> None:
    """w3 is empty, and stays in its initial sync."""
    replica_set("w1", "w2", "w3")(stage)
    insert("w1", 100, db="app")(stage)
    server = stage.servers["w3"]
    server.options += ["--setParameter", "enableTestCommands=1"]
    server.options += ["--setParameter", 'failpoint.initialSyncHangBeforeFinish={"mode":"alwaysOn"}']
    restart("w3", wipe="yes")(stage)


def _with_root(stage: Stage) -> None:
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


def _keys_differ(stage: Stage) -> None:
    _with_root(stage)
    stage.login = dict(ROOT)
    stage.settle("k1")
    stage.server("kd", key=OTHER_KEY)
    stage.server("ke")
    stage.server("km1", key=KEY)
    stage.server("km2", "57:27157", key=OTHER_KEY)
    stage.server("kn")
    stage.login = {}


def _as_root_on_k(stage: Stage, command: Command, document: Document) -> Document | None:
    """Members of the set know the user root, all others only the exception."""
    stage.login = dict(ROOT) if command.member in ("k1", "k3") else {}
    return stage.ask(command.member, document, command.db)


def _first_set(stage: Stage) -> None:
    """x1 alone is rs0."""
    stage.server("x1")
    stage.initiate([{"_id": 0, "host": stage.host("x1")}])


def _move(stage: Stage) -> None:
    """The data of x1 at another address."""
    stage.stop("x1")
    server = stage.servers["x1"]
    host, _colon, port = stage.recording.addresses["x1"][1].rpartition(":")
    server.address, server.port = host, int(port)
    stage.start("x1")


NAMES = {f"mongo-{number}.mongo.db.svc.cluster.local": str(61 + number) for number in range(3)}


def _named_servers(*servers: str) -> Action:
    def run(stage: Stage) -> None:
        stage.names(NAMES)
        for number, name in enumerate(servers):
            stage.server(name, f"{61 + number}:27017")

    return run


def _named_initiate(*servers: str) -> Action:
    """A set whose members are host names."""

    def run(stage: Stage) -> None:
        members = [{"_id": number, "host": f"{name}:27017"} for number, name in enumerate(NAMES)]
        stage.tell(servers[0], {"replSetInitiate": {"_id": "rs0", "members": members}})
        stage.wait_states(servers[0], ["PRIMARY", "SECONDARY", "SECONDARY"])
        stage.settle(servers[0])

    return run


def _named_set(*servers: str, tunnels: bool = False) -> Action:
    def run(stage: Stage) -> None:
        _named_servers(*servers)(stage)
        _named_initiate(*servers)(stage)
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


def _initiate_z(stage: Stage) -> None:
    stage.initiate([{"_id": number, "host": stage.host(f"z{number + 1}")} for number in range(3)])


# Who asked what in 08b, by step.
_APP, _MONITOR = {"username": "app", "password": "app-1", "authSource": "app"}, {"username": "mon", "password": "mon-1"}
_WHO = [(range(48, 61), _APP), (range(61, 69), _MONITOR), (range(73, 74), _MONITOR)]
# Passwords of the driver's own logins in 08b, which the recording leaves out, by step.
_PASSWORDS = {2: "wrong", 3: "x", 8: "wrong", 29: "secret-1", 30: "secret-2"}


def _by_note(stage: Stage, command: Command, document: Document) -> Document | None:
    """Each note in 09 is about a client of its own."""
    return stage.ask(command.member, document, command.db, command.note if "://" in command.member else "")


def _as_recorded_user(stage: Stage, command: Command, document: Document) -> Document | None:
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


SCENARIOS: Mapping[str, Scenario] = {
    # Step 29 lists collections of the server's own.
    "01-uninitialised": Scenario(fresh("u1"), ignored_in={29: ("cursor.firstBatch",)}),
    # Whether it is a member with times already when it answers is chance: the reply in 01, step 36, has none.
    "01b-initiate-without-config": Scenario(fresh("u2"), ignored_in={1: ("$clusterTime", "operationTime")}),
    "01c-standalone-without-replSet": Scenario(
        lambda stage: stage.server("u3", set_name=None),
        {11: restart("u3", set_name="rs0"), 21: restart("u3", set_name=None)},
    ),
    # A heartbeat after the poll, all know of all.
    "02-initiate-three": Scenario(fresh("a1", "a2", "a3"), {47: sleep(2.5)}),
    "03a-second-initiate": Scenario(replica_set("a1", "a2", "a3")),
    "03b-bad-initiate": Scenario(_bad_initiates),
    "03c-concurrent-initiate": Scenario(
        fresh("h1", "h2", "h3"),
        at_once=frozenset({1, 2, 3}),
        # Whether another's answer or its refusal came first is chance.
        unstable=("configVersion",),
    ),
    "04a-add-nonvoter-then-vote": Scenario(replica_set("a1", "a2", "a3", others=["d"])),
    "04b-remove-member": Scenario(replica_set("a1", "a2", "a3", "d", version=3), {22: restart("d")}),
    "04c-add-voter-directly-newlyAdded": Scenario(
        then(replica_set("a1", "a2", "a3", version=6, others=["d"]), insert("a1", 2_000)),
    ),
    "04d-refused-reconfigs": Scenario(
        then(replica_set("a1", "a2", "a3", "d", version=9, ids=(0, 1, 2, 4)), fresh("u", "e")),
        {8: sleep(5), 23: version("a1", 14), 29: version("a1", 16)},
        # It was elected when the set had three members.
        ignored=("electionCandidateMetrics.numVotesNeeded",),
    ),
    "04e-unreachable-new-member": Scenario(_others_to_add),
    "04f-reconfig-after-reconfig": Scenario(
        replica_set("a1", "a2", "a3", "d", version=82598, ids=(0, 1, 2, 11)),
        {17: then(hold("a2"), hold("a3"), freeze("a2", "a3")), 21: thaw("a2", "a3"), 29: freeze("a2")},
        at_once=frozenset({13, 14, 15, 16}),
    ),
    "04g-force": Scenario(_former_members),
    "04h-priority-takeover": Scenario(replica_set("a1", "a2", "a3")),
    "04i-arbiter-hidden-delayed": Scenario(
        replica_set("a1", "a2", "a3", version=4, others=["d"]),
        # A heartbeat later, the arbiter has heard of all.
        {17: sleep(2.5), 35: version("a1", 9)},
        left_out={34: "it met the server's own reconfiguration in flight (109): a moment of milliseconds"},
        ignored=HISTORY,
        # How far that one has got.
        ignored_in={37: ("members.configVersion",)},
    ),
    "04k-reconfig-with-dead-voter": Scenario(_dead_voter, {6: kill("b1")}, ignored=HISTORY),
    "05-stepdown-freeze": Scenario(
        _tagged,
        {10: primary("a2"), 12: primary("a3"), 20: freeze("a1", "a2"), 28: thaw("a1", "a2")},
        ignored=HISTORY,
    ),
    "05b-stepdown-success": Scenario(then(replica_set("b1", "b2", "b3"), sleep(12)), {12: primary("b2"), 21: exits("b2")}, ignored=HISTORY),
    "06a-kill-primary": Scenario(replica_set("f1", "f2", "f3"), {3: then(hold("f3"), kill("f1")), 20: start("f1")}, ignored=HISTORY),
    "06b-sigterm-primary": Scenario(_second_primary, {1: sigterm("f2"), 9: exits("f2")}),
    "06c-majority-down": Scenario(
        replica_set("f1", "f2", "f3", version=2),
        {1: kill("f2", "f3"), 30: start("f2", "f3")},
        # Of the last heartbeat that failed, or of the time without any: chance.
        ignored_in={12: ("members.lastHeartbeatMessage",)},
        ignored=HISTORY,
    ),
    "06d-after-force-readd": Scenario(_forced_single),
    "07-wiped-member-rejoins": Scenario(
        then(replica_set("w1", "w2", "w3"), insert("w1", 30_000, db="app")),
        {2: kill("w2"), 8: then(wipe("w2"), start("w2"))},
        # Whose heartbeat reaches the emptied member first is chance: w1 may see it without a configuration, or not.
        unstable=("27145 stateStr: order", "27145 configVersion: order", "27145 configTerm: order"),
    ),
    "07b-during-initial-sync": Scenario(
        _sync_held,
        {28: lambda stage: stage.tell("w3", {"configureFailPoint": "initialSyncHangBeforeFinish", "mode": "off"})},
        # Collections of the server's own, with their sizes, and where it fetches them from.
        ignored=("initialSyncStatus.databases", "initialSyncStatus.initialSyncAttempts"),
        # How long it had no configuration after its start.
        unstable=("errmsg",),
    ),
    "08a-auth-localhost-exception": Scenario(lambda stage: [stage.server(name, key=KEY) for name in ("k1", "k2", "k3")]),
    "08b-auth-users": Scenario(_with_root, {74: freeze("k2", "k3")}, send=_as_recorded_user),
    "08c-keyfile-mismatch": Scenario(_keys_differ, {18: restart("k3", key=OTHER_KEY)}, send=_as_root_on_k),
    "09-tunnel-and-names": Scenario(
        _named_set("t1", "t2", "t3", tunnels=True),
        {28: names_lost, 46: restart_all("t1", "t2", "t3"), 59: names_back},
        names=True,
        send=_by_note,
    ),
    "09b-initiate-name-not-self": Scenario(fresh("v1"), {3: lambda stage: stage.tunnel("1:39164", "v1")}),
    "09c-names-lost-at-start-and-back": Scenario(
        _named_servers("q1", "q2", "q3"),
        {3: then(_named_initiate("q1", "q2", "q3"), restart_without_names("q1", "q2", "q3")), 15: names_back},
        names=True,
    ),
    "09d-one-member-started-without-names": Scenario(
        _named_set("r1", "r2", "r3"),
        {1: restart_without_names("r2"), 8: names_back},
        names=True,
    ),
    "09e-all-started-without-names": Scenario(
        _named_set("r1", "r2", "r3"),
        {
            1: then(restart_without_names("r1", "r2", "r3"), sleep(3), names_back),
            7: then(restart_all("r1", "r2", "r3"), hold("r1"), hold("r3")),
        },
        names=True,
    ),
    "10-set-name-differs": Scenario(_first_set, {3: restart("x1", set_name="other"), 16: restart("x1", set_name="rs0"), 21: _move}),
    "10b-maintenance-recovering": Scenario(then(_tagged, _one_document), ignored=HISTORY),
    "11-fsync-status-rwconcern": Scenario(
        then(_tagged, _one_document),
        ignored=HISTORY,
        # The recording left it out.
        ignored_in={5: ("inprog",)},
        left_out={37: "whether a shutdown with timeoutSecs 0 finds the others caught up is a matter of milliseconds"},
    ),
    "12-feature-compatibility-version": Scenario(_tagged, {18: freeze("a2", "a3"), 20: thaw("a2", "a3")}),
    "14-canonical-types": Scenario(fresh("z1", "z2", "z3"), {4: _initiate_z}, canonical=True),
}
# Not played by test_replay's common test: what they recorded is no command and its reply.
APART = {
    "08d-keyfile-startup": "exit codes and log lines of servers that do not start: test_key_files",
    "13-wire-level": "frames instead of commands: test_wire",
}
