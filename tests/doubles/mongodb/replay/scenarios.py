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
from .preparations import (
    as_recorded_user,
    as_root_on_k,
    ask,
    bad_initiates,
    by_note,
    dead_voter,
    first_set,
    forced_single,
    former_members,
    initiate_z,
    keys_differ,
    move,
    named_initiate,
    named_servers,
    named_set,
    names_back,
    names_lost,
    one_document,
    others_to_add,
    restart_all,
    restart_without_names,
    second_primary,
    sync_held,
    tagged,
    with_root,
)
from .recording import Command, Document
from .stage import KEY, OTHER_KEY, Stage

Send = Callable[[Stage, Command, Document], Document | None]
# What replSetGetStatus tells of earlier elections: those of the preparation are not the recorded ones.
HISTORY = ("electionCandidateMetrics", "electionParticipantMetrics")


@dataclass(frozen=True)
class Scenario:
    """actions: step -> what was done before it. at_once: steps that were sent at the same time.

    left_out: steps that are not played, each with its reason. ignored, ignored_in: fields that are not compared ("members.tags"),
    everywhere or in a step. unstable: what a poll's differences must not contain to count.
    """

    prepare: Action
    actions: Mapping[int, Action] = field(default_factory=dict)
    at_once: frozenset[int] = frozenset()
    left_out: Mapping[int, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    ignored_in: Mapping[int, Sequence[str]] = field(default_factory=dict)
    unstable: Sequence[str] = ()
    canonical: bool = False
    names: bool = False
    send: Send = ask


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
    "03b-bad-initiate": Scenario(bad_initiates),
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
    "04e-unreachable-new-member": Scenario(others_to_add),
    "04f-reconfig-after-reconfig": Scenario(
        replica_set("a1", "a2", "a3", "d", version=82598, ids=(0, 1, 2, 11)),
        {17: then(hold("a2"), hold("a3"), freeze("a2", "a3")), 21: thaw("a2", "a3"), 29: freeze("a2")},
        at_once=frozenset({13, 14, 15, 16}),
    ),
    "04g-force": Scenario(former_members),
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
    "04k-reconfig-with-dead-voter": Scenario(dead_voter, {6: kill("b1")}, ignored=HISTORY),
    "05-stepdown-freeze": Scenario(
        tagged,
        {10: primary("a2"), 12: primary("a3"), 20: freeze("a1", "a2"), 28: thaw("a1", "a2")},
        ignored=HISTORY,
    ),
    # The next primary is there within milliseconds: whether steps 3 and 4 see it is chance.
    "05b-stepdown-success": Scenario(
        then(replica_set("b1", "b2", "b3"), sleep(12)),
        {12: primary("b2"), 21: exits("b2")},
        ignored=HISTORY,
        ignored_in={3: ("primary",), 4: tuple(f"members.{field}" for field in ("electionTime", "electionDate", "state", "stateStr"))},
    ),
    "06a-kill-primary": Scenario(replica_set("f1", "f2", "f3"), {3: then(hold("f3"), kill("f1")), 20: start("f1")}, ignored=HISTORY),
    "06b-sigterm-primary": Scenario(second_primary, {1: sigterm("f2"), 9: exits("f2")}),
    "06c-majority-down": Scenario(
        replica_set("f1", "f2", "f3", version=2),
        {1: kill("f2", "f3"), 30: start("f2", "f3")},
        # Of the last heartbeat that failed, or of the time without any: chance.
        ignored_in={12: ("members.lastHeartbeatMessage",)},
        ignored=HISTORY,
    ),
    "06d-after-force-readd": Scenario(forced_single),
    "07-wiped-member-rejoins": Scenario(
        then(replica_set("w1", "w2", "w3"), insert("w1", 30_000, db="app")),
        {2: kill("w2"), 8: then(wipe("w2"), start("w2"))},
        # Whose heartbeat reaches the emptied member first is chance: w1 may see it without a configuration, or not.
        unstable=("27145 stateStr: order", "27145 configVersion: order", "27145 configTerm: order"),
    ),
    "07b-during-initial-sync": Scenario(
        sync_held,
        {28: lambda stage: stage.tell("w3", {"configureFailPoint": "initialSyncHangBeforeFinish", "mode": "off"})},
        # Collections of the server's own, with their sizes, and where it fetches them from.
        ignored=("initialSyncStatus.databases", "initialSyncStatus.initialSyncAttempts"),
        # How long it had no configuration after its start.
        unstable=("errmsg",),
    ),
    "08a-auth-localhost-exception": Scenario(lambda stage: [stage.server(name, key=KEY) for name in ("k1", "k2", "k3")]),
    "08b-auth-users": Scenario(with_root, {74: freeze("k2", "k3")}, send=as_recorded_user),
    "08c-keyfile-mismatch": Scenario(keys_differ, {18: restart("k3", key=OTHER_KEY)}, send=as_root_on_k),
    "09-tunnel-and-names": Scenario(
        named_set("t1", "t2", "t3", tunnels=True),
        {28: names_lost, 46: restart_all("t1", "t2", "t3"), 59: names_back},
        names=True,
        send=by_note,
    ),
    "09b-initiate-name-not-self": Scenario(fresh("v1"), {3: lambda stage: stage.tunnel("1:39164", "v1")}),
    "09c-names-lost-at-start-and-back": Scenario(
        named_servers("q1", "q2", "q3"),
        {3: then(named_initiate("q1", "q2", "q3"), restart_without_names("q1", "q2", "q3")), 15: names_back},
        names=True,
    ),
    "09d-one-member-started-without-names": Scenario(
        named_set("r1", "r2", "r3"),
        {1: restart_without_names("r2"), 8: names_back},
        names=True,
    ),
    "09e-all-started-without-names": Scenario(
        named_set("r1", "r2", "r3"),
        {
            1: then(restart_without_names("r1", "r2", "r3"), sleep(3), names_back),
            7: then(restart_all("r1", "r2", "r3"), hold("r1"), hold("r3")),
        },
        names=True,
    ),
    "10-set-name-differs": Scenario(first_set, {3: restart("x1", set_name="other"), 16: restart("x1", set_name="rs0"), 21: move}),
    "10b-maintenance-recovering": Scenario(then(tagged, one_document), ignored=HISTORY),
    "11-fsync-status-rwconcern": Scenario(
        then(tagged, one_document),
        ignored=HISTORY,
        # The recording left it out.
        ignored_in={5: ("inprog",)},
        left_out={37: "whether a shutdown with timeoutSecs 0 finds the others caught up is a matter of milliseconds"},
    ),
    "12-feature-compatibility-version": Scenario(tagged, {18: freeze("a2", "a3"), 20: thaw("a2", "a3")}),
    "14-canonical-types": Scenario(fresh("z1", "z2", "z3"), {4: initiate_z}, canonical=True),
}
# Not played by test_replay's common test: what they recorded is no command and its reply.
APART = {
    "08d-keyfile-startup": "exit codes and log lines of servers that do not start: test_key_files",
    "13-wire-level": "frames instead of commands: test_wire",
}
