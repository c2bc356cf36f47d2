# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Secret with generated values in the cluster: made once, also when two runs make it at the same moment."""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import compare, refusals
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import Key
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import values

PREFIX = "secret.stackgate.k3s"
GENERATED = f"{PREFIX}/generated"
DERIVED = f"{PREFIX}/derived"
# How often to begin again when somebody else wrote at the same moment.
ATTEMPTS = 6


@dataclass(frozen=True)
class Place:
    """Which Secret: its name, namespace, type and labels."""

    name: str
    namespace: str
    type: str
    labels: Mapping[str, str]

    @property
    def key(self) -> Key:
        """The Secret as an object."""
        return Key("", "Secret", self.namespace, self.name)


@dataclass(frozen=True)
class Outcome:
    """What happened, or would. checksum: changes with any value, tells nothing about them; empty without a Secret."""

    changed: bool
    actions: dict[str, str]
    checksum: str
    diff: dict[str, str]


def ensure(cluster: Cluster, place: Place, wanted: values.Request, check: bool = False) -> Outcome:
    """Make the Secret hold what is asked for. Raises as settle()."""
    return settle(cluster, place, lambda found: values.plan(wanted, found), check)


def settle(cluster: Cluster, place: Place, planned: Callable[[values.Existing], values.Plan], check: bool = False) -> Outcome:
    """Make the Secret what is planned from what it holds.

    Whoever writes first wins, the other begins again from what is there then: no value in use is ever replaced by accident.
    Raises StackgateError when the server refuses, and when the Secret changes all the time.
    """
    for _attempt in range(ATTEMPTS):
        live = cluster.get("v1", "Secret", place.name, place.namespace)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            raise StackgateError(
                f"{place.key} is not being deleted",
                f"it is, since {live['metadata']['deletionTimestamp']}",
                "wait until it is gone, then run again",
            )
        plan = planned(existing(live, place))
        body = rendered(live, place, plan)
        if live is not None and compare.same(live, body):
            return Outcome(False, plan.actions, checksum(body), {})
        try:
            _write(cluster, body, live is None, check)
        except ApiError as error:
            if error.status == 409:  # made or changed by another since it was read
                continue
            if check and refusals.namespace_missing(error):
                pass  # the run would make the namespace first
            else:
                raise _refused(error, place, body) from None
        return Outcome(True, plan.actions, checksum(body), compare.difference(str(place.key), live, body))
    raise StackgateError(
        f"{place.key} in namespace {place.namespace} stays as it is between reading and writing it",
        f"somebody else changed it {ATTEMPTS} times in a row",
        "see who writes it: kubectl get secret --show-managed-fields -o yaml",
    )


def remove(cluster: Cluster, place: Place, check: bool = False) -> Outcome:
    """Delete the Secret, values and all."""
    live = cluster.get("v1", "Secret", place.name, place.namespace)
    if live is None or live["metadata"].get("deletionTimestamp"):
        return Outcome(False, {}, "", {})
    try:
        cluster.delete("v1", "Secret", place.name, place.namespace, dry_run=check, uid=live["metadata"]["uid"])
    except ApiError as error:
        raise _refused(error, place, live) from None
    actions = dict.fromkeys(live.get("data") or {}, values.REMOVED)
    return Outcome(True, actions, "", compare.difference(str(place.key), live, None))


def existing(live: Mapping[str, Any] | None, place: Place) -> values.Existing:
    """What a Secret holds. Raises StackgateError when it is of another type, which cannot be changed."""
    if live is None:
        return values.Existing()
    kind = live.get("type") or "Opaque"
    if kind != place.type:
        raise StackgateError(
            f"{place.key} is of type {place.type}",
            f"it is of type {kind}, and the type of a Secret is fixed",
            "set the option type to what it is, or use another name",
        )
    try:
        data = {key: base64.b64decode(value or "", validate=True) for key, value in (live.get("data") or {}).items()}
    except (binascii.Error, ValueError):
        raise StackgateError(f"the values of {place.key} are base64", "one is not") from None
    return values.Existing(data, _recorded(live, GENERATED), _recorded(live, DERIVED))


def rendered(live: Mapping[str, Any] | None, place: Place, plan: values.Plan) -> dict[str, Any]:
    """The Secret to be, with everything that others have put on it."""
    body: dict[str, Any] = copy.deepcopy(dict(live or {}))
    body.update(apiVersion="v1", kind="Secret", type=place.type)
    meta = body.setdefault("metadata", {})
    meta.update(name=place.name, namespace=place.namespace)
    labels = {**(meta.get("labels") or {}), **place.labels}
    if labels:  # the server forgets an empty mapping, and it would look like a difference
        meta["labels"] = labels
    annotations = meta.setdefault("annotations", {})
    annotations[GENERATED] = ",".join(sorted(plan.generated))
    annotations[DERIVED] = ",".join(sorted(plan.derived))
    annotations.setdefault(compare.SALT, secrets.token_hex(16))
    body["data"] = {key: base64.b64encode(value).decode() for key, value in sorted(plan.data.items())}
    return body


def checksum(body: Mapping[str, Any]) -> str:
    """A digest of all values, for the annotation that restarts pods when one changes.

    Salted by a random text that only readers of the Secret can see: even of a short value it gives nothing away.
    """
    salt = str(body["metadata"]["annotations"][compare.SALT])
    return hashlib.sha256((salt + json.dumps(body.get("data") or {}, sort_keys=True)).encode()).hexdigest()


def _recorded(live: Mapping[str, Any], annotation: str) -> frozenset[str]:
    """The keys that an annotation lists."""
    listed = str((live["metadata"].get("annotations") or {}).get(annotation) or "")
    return frozenset(key for key in listed.split(",") if key)


def _write(cluster: Cluster, body: Mapping[str, Any], new: bool, check: bool) -> None:
    """Create, or replace the very version that was read."""
    if new:
        cluster.create(body, dry_run=check)
    else:
        cluster.replace(body, dry_run=check)


def _refused(error: ApiError, place: Place, body: Mapping[str, Any]) -> StackgateError:
    """A refusal in words that hold no value."""
    problems = refusals.problems_of(error, place.key, body)
    return StackgateError(
        f"the API server accepts {place.key} in namespace {place.namespace}",
        "; ".join(f"{problem.field}: {problem.message}" if problem.field else problem.message for problem in problems),
        next((problem.hint for problem in problems if problem.hint), ""),
        details={"problems": [problem.as_data() for problem in problems]},
    )
