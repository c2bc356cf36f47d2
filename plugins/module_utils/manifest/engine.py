# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan by server dry-run, then do exactly what was planned.

A run and its check mode share the plan: every object is sent to the server as a dry run first. What the server refuses is
reported, all of it, before anything has changed; what it would not change is not sent again; the rest is applied.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import FIELD_MANAGER, ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset, compare, refusals
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import DATA_KINDS, NEEDS, PHASES, Key, failed_for_good, phase_of
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.members import Kind, Reader
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.prepare import Component, Wanted

CREATED, CHANGED, RECREATED, UNCHANGED, DELETED, KEPT = "created", "changed", "recreated", "unchanged", "deleted", "kept"
# Answers that say "not now", and what the text of a 500 says when it means that: sent again after these many seconds each.
PASSING = frozenset({429, 503, 504})
PASSING_WORDS = ("etcdserver", "timed out", "timeout", "deadline exceeded", "connection refused", "database is locked")
PAUSES = (0.2, 0.5, 1.0, 2.0)
POLL = 0.25

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Settings:
    """How to apply.

    threads: requests under way at once; force: take fields over from other managers; prune: delete what left the manifest;
    prune_volumes: delete what holds data, too; expendable: StatefulSets whose claims go with them all the same;
    timeout: seconds to wait for an object of the same name that is being deleted, and for a new kind to be served; check: plan only.
    """

    threads: int = 8
    force: bool = True
    prune: bool = True
    prune_volumes: bool = False
    expendable: tuple[str, ...] = ()
    timeout: float = 60.0
    check: bool = False


@dataclass
class Change:
    """What happens, or would happen, to one object.

    before and after are the server's words, but for a creation `after` is what was asked for.
    write: whether it must be sent; leaving: an object of this name is still being deleted;
    failure: the status condition for which it is deleted and made anew.
    """

    key: Key
    action: str
    api_version: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    wanted: Wanted | None = None
    write: bool = False
    leaving: bool = False
    failure: dict[str, Any] | None = None

    @property
    def uid(self) -> str:
        """The server's id of the object before."""
        return str(((self.before or {}).get("metadata") or {}).get("uid") or "")

    @property
    def effective(self) -> bool:
        """Whether it makes a difference on the server."""
        return self.action in (CREATED, CHANGED, RECREATED, DELETED)

    @property
    def new_pods(self) -> bool:
        """Whether pods that there are no longer match their template."""
        before, after = (((side or {}).get("spec") or {}).get("template") for side in (self.before, self.after))
        return self.action == CHANGED and before is not None and before != after


@dataclass(frozen=True)
class Rehearsal:
    """A dry run: the object that would be, or the refusal; neither when the kind is not served yet."""

    wanted: Wanted
    after: dict[str, Any] | None
    error: ApiError | None

    @property
    def key(self) -> Key:
        """The object."""
        return self.wanted.key

    @property
    def creates(self) -> bool:
        """Whether it would make a new object, as far as the rehearsal tells."""
        return self.error is None and not _version(self.after)


@dataclass
class Outcome:
    """All that happened, or would."""

    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything differs on the server."""
        return any(change.effective for change in self.changes)

    def diff(self) -> list[dict[str, str]]:
        """One entry per object that differs."""
        return [compare.difference(str(item.key), item.before, item.after, item.failure) for item in self.changes if item.effective]

    def summary(self) -> list[dict[str, Any]]:
        """What was done to which object."""
        return [{"kind": item.key.kind, "name": item.key.name, "action": item.action, "new_pods": item.new_pods} for item in self.changes]


class Refused(StackgateError):
    """Some objects were refused; `problems` names each."""

    def __init__(self, component: Component, total: int, problems: Sequence[refusals.Problem], done: str) -> None:
        self.problems = list(problems)
        refused = len({problem.target for problem in problems})
        lines = "\n  - ".join(str(problem) for problem in problems)
        super().__init__(
            f"the API server accepts {'all ' if total > 1 else ''}{total} object{'s' if total > 1 else ''}"
            f" of component {component.name} in namespace {component.namespace}",
            f"{refused} refused; {done}\n  - {lines}",
            details={"problems": [problem.as_data() for problem in problems]},
        )


class Engine:
    """Applies or removes one component."""

    def __init__(self, cluster: Cluster, component: Component, settings: Settings) -> None:
        self.cluster, self.component, self.settings = cluster, component, settings
        self._reader = Reader(cluster, component)
        self._pool = ThreadPoolExecutor(max_workers=1)

    # -- what the callers want -----------------------------------------------------------------------------------

    def apply(self, wanted: Sequence[Wanted]) -> Outcome:
        """Make the cluster hold these objects, and (prune) no others of the component.

        Raises Refused with every object that the server does not accept; StackgateError when it cannot be asked.
        """
        kinds = self._reader.kinds_of(wanted)
        with self._threads(1 + len(kinds) + len(wanted)):
            # All questions at once. Lists may be a moment old here: what they say of a wanted object is checked against the
            # rehearsal, and a leftover that they miss is of a kind that stays on record, so that the next run finds it.
            asked_parent = self._pool.submit(self._reader.parent)
            asked_members = [self._pool.submit(self._reader.members, kind, True) for kind in kinds]
            rehearsals = list(self._pool.map(self._rehearse, wanted))
            parent = asked_parent.result()
            live = {key: found for answer in asked_members for key, found in answer.result().items()}

            on_record = applyset.group_kinds(parent)
            gone_kinds = self._reader.kinds_on_record(on_record - {item.key.group_kind for item in wanted})
            live.update(self._members(gone_kinds))

            creates = {rehearsal.wanted.key for rehearsal in rehearsals if rehearsal.creates}
            changes, problems = self._each(lambda item: self._judge(item, live.get(item.key), creates), rehearsals)
            leaving = self._leaving({item.key for item in wanted}, live)
            problems.extend(self._rehearse_deletions(leaving))
            kept = {change.key.group_kind for change in leaving if change.action == KEPT}
            final_kinds = {item.key.group_kind for item in wanted} | kept | (set() if self.settings.prune else on_record)
            parent_change, parent_problems = self._plan_parent(parent, final_kinds, creates)
            # What stops the parent (no namespace, no right) mostly stops the objects, too: said once is enough.
            problems.extend(parent_problems if not problems else [])
            if problems:
                raise Refused(self.component, len(wanted), problems, "nothing was changed")
            if not self.settings.check:
                self._execute(changes, leaving, parent, final_kinds)
        return self._outcome([parent_change, *changes, *leaving])

    def remove(self, wanted: Sequence[Wanted] = ()) -> Outcome:
        """Delete every object of the component; what holds data stays, unless prune_volumes says otherwise.

        wanted: objects whose kinds are looked for besides those that the cluster has on record.
        """
        parent = self._reader.parent()
        kinds = dict.fromkeys([*self._reader.kinds_of(wanted), *self._reader.kinds_on_record(applyset.group_kinds(parent))])
        with self._threads(self.settings.threads):
            leaving = self._leaving(set(), self._members(list(kinds)), everything=True)
            problems = self._rehearse_deletions(leaving)
            kept = {change.key.group_kind for change in leaving if change.action == KEPT}
            parent_change = self._plan_parent_removal(parent, kept)
            if problems:
                raise Refused(self.component, len(leaving), problems, "nothing was changed")
            if not self.settings.check:
                for phase in reversed(range(len(PHASES))):
                    self._finish(self._each(self._delete, [c for c in leaving if c.action == DELETED and phase_of(c.key.kind) == phase])[1])
                if parent_change.action == DELETED:
                    self._delete(parent_change)
                elif parent_change.action == CHANGED:
                    self._apply_parent(kept)
        return self._outcome([*leaving, parent_change])

    # -- planning ------------------------------------------------------------------------------------------------

    def _members(self, kinds: Sequence[Kind]) -> dict[Key, dict[str, Any]]:
        """The members of some kinds, as they are now."""
        answers = self._pool.map(lambda kind: self._reader.members(kind, False), kinds)
        return {key: found for answer in answers for key, found in answer.items()}

    def _rehearse(self, item: Wanted) -> Rehearsal:
        """Send one object as a dry run."""
        if not self._reader.served(item):
            return Rehearsal(item, None, None)
        try:
            return Rehearsal(item, patiently(lambda: self.cluster.apply(item.body, dry_run=True, force=self.settings.force)), None)
        except ApiError as error:
            return Rehearsal(item, None, error)

    def _judge(self, rehearsal: Rehearsal, listed: dict[str, Any] | None, creates: set[Key]) -> Change:
        """What applying one object would do. Raises the ApiError of a rehearsal that was refused for good."""
        item, after = rehearsal.wanted, rehearsal.after
        created = Change(item.key, CREATED, item.api_version, None, item.body, item, write=True)
        refused = rehearsal.error is not None and not self._comes_true_later(rehearsal.error, item, creates)
        if rehearsal.error is not None and refused and not refusals.only_fixed(rehearsal.error):
            raise rehearsal.error
        if rehearsal.creates:
            return created
        version = _version(after)
        before = listed if listed is not None and version and _version(listed) == version else self._get(item)
        if before is None:
            return created
        if before["metadata"].get("deletionTimestamp"):
            created.leaving = True
            return created
        owner = (before["metadata"].get("labels") or {}).get(applyset.PART_OF, self.component.set_id)
        if owner != self.component.set_id:
            self._reader.warnings.append(f"{item.key} belonged to another component, and is taken over: two that hold it would take turns")
        failure = failed_for_good(before)
        if failure is not None:
            return self._judge_failed(item, before, after, failure)
        if rehearsal.error is not None and refused:
            raise rehearsal.error
        if after is None:  # cannot be rehearsed: whether it changes anything is seen when it is applied
            return Change(item.key, CHANGED, item.api_version, before, before, item, write=True)
        if compare.same(before, after):
            # Same content, but not yet ours: without ownership a field could never be removed again.
            claim = compare.owned(before, FIELD_MANAGER) != compare.owned(after, FIELD_MANAGER)
            return Change(item.key, UNCHANGED, item.api_version, before, before, item, write=claim)
        return Change(item.key, CHANGED, item.api_version, before, after, item, write=True)

    def _judge_failed(self, item: Wanted, before: dict[str, Any], after: dict[str, Any] | None, failure: dict[str, Any]) -> Change:
        """Deleting an object that has failed for good, and making it anew. Raises the ApiError of a deletion that would be refused."""
        # Without a rehearsal (a template that differs cannot be applied to this object) `after` is what was asked for.
        anew = Change(item.key, RECREATED, item.api_version, before, after or item.body, item, write=True, failure=failure)
        if self._delete(anew, dry_run=True):
            return anew
        return Change(item.key, CREATED, item.api_version, None, item.body, item, write=True)  # gone meanwhile

    def _get(self, item: Wanted) -> dict[str, Any] | None:
        """The object as it is now."""
        return self.cluster.get(item.api_version, item.key.kind, item.key.name, item.key.namespace or None)

    def _comes_true_later(self, error: ApiError, item: Wanted, creates: set[Key]) -> bool:
        """Whether a dry run failed only for want of what this manifest is about to create, or of dry runs at all."""
        if "does not support dry run" in error.message:
            return True
        if refusals.namespace_missing(error):
            return self.settings.check or Key("", "Namespace", "", self.component.namespace) in creates
        if error.status in (403, 404):
            return any(key.kind in NEEDS.get(item.key.kind, ()) for key in creates)
        return False

    def _plan_parent(self, parent: dict[str, Any] | None, kinds: set[str], creates: set[Key]) -> tuple[Change, list[refusals.Problem]]:
        """What becomes of the parent object."""
        body = self._parent_body(kinds)
        key = Key("", "ConfigMap", self.component.namespace, body["metadata"]["name"])
        if applyset.matches(parent, body):
            return Change(key, UNCHANGED, "v1", parent, parent), []
        rehearsal = self._rehearse(Wanted(key, body, "ApplySet"))
        changes, problems = self._each(lambda item: self._judge(item, parent, creates), [rehearsal])
        return (changes[0] if changes else Change(key, UNCHANGED, "v1")), problems

    def _plan_parent_removal(self, parent: dict[str, Any] | None, kept: set[str]) -> Change:
        """The parent goes with the last member; while something is kept, it says what."""
        body = self._parent_body(kept)
        key = Key("", "ConfigMap", self.component.namespace, body["metadata"]["name"])
        if parent is None:
            return Change(key, UNCHANGED, "v1")
        if not kept:
            return Change(key, DELETED, "v1", parent, None)
        if applyset.matches(parent, body):
            return Change(key, UNCHANGED, "v1", parent, parent)
        return Change(key, CHANGED, "v1", parent, self.cluster.apply(body, dry_run=True))

    def _leaving(self, stay: set[Key], live: dict[Key, dict[str, Any]], everything: bool = False) -> list[Change]:
        """What becomes of the members that are wanted no more."""
        if not (self.settings.prune or everything):
            return []
        changes = []
        for key, found in sorted(live.items()):
            meta = found["metadata"]
            if key in stay or meta.get("deletionTimestamp"):
                continue
            if any(owner.get("controller") for owner in meta.get("ownerReferences") or []):
                continue  # its labels were copied from the member that it belongs to, and with that one it goes
            kept = key.kind in DATA_KINDS and not self.settings.prune_volumes
            changes.append(Change(key, KEPT if kept else DELETED, found["apiVersion"], found, found if kept else None))
        if self.settings.prune_volumes or self.settings.expendable:
            known = {change.key for change in changes} | stay
            changes.extend(change for change in self._claims(changes, everything) if change.key not in known)
        return changes

    def _claims(self, leaving: Sequence[Change], everything: bool) -> list[Change]:
        """The volume claims that leaving StatefulSets made: they carry no label of the set, and outlive it."""
        prefixes = [
            f"{template['metadata']['name']}-{change.key.name}-"
            for change in leaving
            if change.key.kind == "StatefulSet"
            and change.before
            and (self.settings.prune_volumes or change.key.name in self.settings.expendable)
            for template in change.before["spec"].get("volumeClaimTemplates") or []
        ]
        if not prefixes and not everything:
            return []
        mine = {"app.kubernetes.io/instance": self.component.instance, "app.kubernetes.io/component": self.component.name}
        expendable = tuple(f"-{name}" for name in self.settings.expendable)
        found = []
        for claim in self.cluster.list("v1", "PersistentVolumeClaim", self.component.namespace):
            meta = claim["metadata"]
            labels = meta.get("labels") or {}
            of_a_set = any(meta["name"].startswith(prefix) and meta["name"][len(prefix) :].isdigit() for prefix in prefixes)
            # An interrupted removal has deleted the StatefulSet already: then only the labels tell.
            labelled = everything and all(labels.get(name) == value for name, value in mine.items())
            labelled = labelled and (self.settings.prune_volumes or meta["name"].rpartition("-")[0].endswith(expendable))
            if (of_a_set or labelled) and not meta.get("deletionTimestamp"):
                key = Key("", "PersistentVolumeClaim", self.component.namespace, meta["name"])
                found.append(Change(key, DELETED, "v1", claim, None))
        return found

    def _rehearse_deletions(self, leaving: list[Change]) -> list[refusals.Problem]:
        """Ask whether the deletions would be allowed, and forget those whose object is gone already."""
        doomed = [change for change in leaving if change.action == DELETED]
        gone: list[Change] = []

        def rehearse(change: Change) -> None:
            if not self._delete(change, dry_run=True):
                gone.append(change)

        _none, problems = self._each(rehearse, doomed)
        leaving[:] = [change for change in leaving if change not in gone]
        return problems

    # -- doing ---------------------------------------------------------------------------------------------------

    def _execute(self, changes: list[Change], leaving: list[Change], recorded: dict[str, Any] | None, final_kinds: set[str]) -> None:
        """Do what was planned. The parent comes first and last, so that no moment leaves an object that nobody would find."""
        on_record = applyset.group_kinds(recorded)
        during = on_record | final_kinds
        written: set[str] | None = None
        for phase in range(len(PHASES)):
            if phase == 1 and (recorded is None or during != on_record):  # not before phase 0: it may have to create the namespace
                self._apply_parent(during)
                written = during
            todo = [change for change in changes if change.write and phase_of(change.key.kind) == phase]
            self._await_kinds(todo)
            earlier = sum(change.write for change in changes if phase_of(change.key.kind) < phase)
            done = f"{earlier} of an earlier phase were applied, later ones were not"
            self._finish(self._each(self._write, todo)[1], len(changes), done)
        self._finish(self._each(self._delete, [change for change in leaving if change.action == DELETED])[1])
        up_to_date = applyset.matches(recorded, self._parent_body(final_kinds)) if written is None else written == final_kinds
        if not up_to_date:
            self._apply_parent(final_kinds)

    def _finish(self, problems: Sequence[refusals.Problem], total: int = 0, done: str = "others may have been deleted") -> None:
        """Stop after a step in which something was refused."""
        if problems:
            raise Refused(self.component, total or len(problems), problems, done)

    def _await_kinds(self, todo: Iterable[Change]) -> None:
        """Wait until the kinds that this manifest itself defined are served."""
        began = time.monotonic()
        for change in todo:
            while change.wanted is not None and not self._reader.served(change.wanted):
                waited = time.monotonic() - began
                if waited > self.settings.timeout:
                    raise StackgateError(
                        f"the cluster serves {change.api_version} {change.key.kind}",
                        "it does not, though the definition was applied",
                        f"kubectl get crd -o wide; look for the condition Established of {change.key.kind}",
                        waited,
                    )
                time.sleep(POLL)

    def _write(self, change: Change) -> None:
        """Apply one object for good, and note what the server made of it."""
        if change.wanted is None:
            return
        if change.action == RECREATED:
            self._delete(change)
        if change.leaving or change.action == RECREATED:
            self._await_gone(change)
        body = change.wanted.body
        after = patiently(lambda: self.cluster.apply(body, force=self.settings.force))
        if change.action == CHANGED or (change.action == UNCHANGED and change.before is not None):
            change.after = after
            change.action = UNCHANGED if compare.same(change.before or {}, after) else CHANGED

    def _await_gone(self, change: Change) -> None:
        """Wait for the end of an object of the same name that is being deleted."""
        began = time.monotonic()
        key = change.key
        while True:
            found = self.cluster.get(change.api_version, key.kind, key.name, key.namespace or None)
            if found is None or not found["metadata"].get("deletionTimestamp"):
                return
            waited = time.monotonic() - began
            if waited > self.settings.timeout:
                finalizers = ", ".join(found["metadata"].get("finalizers") or []) or "none"
                raise StackgateError(
                    f"the {key} that is being deleted goes, so that it can be made anew",
                    f"it is still there, deleted at {found['metadata']['deletionTimestamp']}, finalizers: {finalizers}",
                    "a claim waits for the pods that use it, a namespace for its objects: see kubectl describe",
                    waited,
                )
            time.sleep(POLL)

    def _delete(self, change: Change, dry_run: bool = False) -> bool:
        """Delete one object; its dependants follow in the background. False when it is gone already."""
        key = change.key
        return patiently(
            lambda: self.cluster.delete(change.api_version, key.kind, key.name, key.namespace or None, dry_run=dry_run, uid=change.uid)
        )

    def _parent_body(self, kinds: Iterable[str]) -> dict[str, Any]:
        """The parent object that lists these kinds."""
        return applyset.parent(self.component.name, self.component.namespace, self.component.labels, kinds)

    def _apply_parent(self, kinds: Iterable[str]) -> None:
        """Write the parent object."""
        patiently(lambda: self.cluster.apply(self._parent_body(kinds)))

    # -- helpers -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _threads(self, requests: int) -> Iterator[None]:
        """Threads for about so many requests. Each opens a connection of its own, which costs as much as two or three requests."""
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(self.settings.threads, requests // 3)), thread_name_prefix="manifest")
        try:
            yield
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _each(self, work: Callable[[Any], Result], items: Sequence[Any]) -> tuple[list[Result], list[refusals.Problem]]:
        """Work on all items at the same time. Refusals are collected, not raised: a person wants to see all of them."""

        def one(item: Any) -> tuple[list[Result], list[refusals.Problem]]:
            try:
                return [work(item)], []
            except ApiError as error:
                body = item.wanted.body if item.wanted else item.before or {}
                return [], refusals.problems_of(error, item.key, body)

        answers = list(self._pool.map(one, items)) if len(items) > 1 else [one(item) for item in items]
        results = [result for answer in answers for result in answer[0]]
        return results, [problem for answer in answers for problem in answer[1]]

    def _outcome(self, changes: list[Change]) -> Outcome:
        """The changes, and what the server warned of."""
        return Outcome(changes, list(dict.fromkeys([*self._reader.warnings, *self.cluster.warnings])))


def _version(found: dict[str, Any] | None) -> str:
    """The server's version of an object; a dry run that would create one has none."""
    return str((found or {"metadata": {}})["metadata"].get("resourceVersion") or "")


def patiently(call: Callable[[], Result]) -> Result:
    """Call, and call again when the server says that it is busy just now. Only for requests that may be repeated."""
    for pause in PAUSES:
        try:
            return call()
        except ApiError as error:
            # A 409 without another manager is two writers at the same instant.
            crossed = error.status == 409 and error.reason == "Conflict" and not error.causes
            busy = error.status in PASSING or (error.status == 500 and any(word in error.message for word in PASSING_WORDS))
            if not busy and not crossed:
                raise
        time.sleep(pause)
    return call()
