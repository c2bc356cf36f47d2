# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what the user wrote: component names, variable names and their values. Pure; asks no cluster."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

# What every role's variables may hold beside its documented options: data of the role itself (vars/main.yml).
ROLE_DATA_SUFFIXES = ("_gate",)
# Tags that mean something to Ansible itself.
ANSIBLE_TAGS = {"all", "always", "never", "tagged", "untagged"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to try."""

    expected: str
    seen: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"- expected: {self.expected}\n  seen: {self.seen}"
        return f"{text}\n  try: {self.hint}" if self.hint else text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known name, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


def unknown_components(stack: str, components: Iterable[str], known: Iterable[str]) -> list[Problem]:
    """Components that no role builds; and a stack that has none at all."""
    components, known = list(components), list(known)
    if not components:
        return [
            Problem(
                "the instance is in the group of a stack, and playbooks/group_vars/<stack>.yml lists its stack_components",
                f"no components for {stack}",
                "check the name of the group that holds the host in the inventory",
            )
        ]
    return [
        Problem("each of stack_components is a component", f"{name!r}", did_you_mean(name, known))
        for name in components
        if name not in known
    ]


def unknown_tags(tags: Iterable[str], known: Iterable[str]) -> list[Problem]:
    """Tags that select nothing: Ansible runs nothing for them and calls that a success."""
    known = set(known) | ANSIBLE_TAGS
    return [
        Problem(
            "each of --tags is a stage or a component", f"{tag!r}", f"{did_you_mean(tag, known - ANSIBLE_TAGS)}; docs/tags.md explains them"
        )
        for tag in tags
        if tag not in known
    ]


def misspelt(variables: Iterable[str], documented: Mapping[str, Iterable[str]]) -> list[Problem]:
    """Variables that begin like a role's, and are none of its documented ones.

    documented: role (or prefix) name -> the variable names that its argument_specs document.
    """
    names = {role: set(known) for role, known in documented.items()}
    every = set().union(*names.values()) if names else set()
    problems = []
    for variable in sorted(set(variables) - every):
        role = next((r for r in sorted(names, key=len, reverse=True) if variable.startswith(f"{r}_")), None)
        if role is None or variable.endswith(ROLE_DATA_SUFFIXES):
            continue
        problems.append(
            Problem(
                f"variables {role}_... are those that {role} documents",
                f"{variable!r} is not one of them",
                did_you_mean(variable, names[role]),
            )
        )
    return problems


def wrong_values(role: str, spec: Mapping[str, Any], values: Mapping[str, Any]) -> list[Problem]:
    """Values that contradict a role's argument spec, and replica counts below one.

    values: the variables of the role that the user or the stack set; defaults need no judging.
    """
    set_options = {name: {**option, "required": False} for name, option in spec.items() if name in values}
    result = ArgumentSpecValidator(set_options).validate(dict(values))
    problems = [
        Problem(f"the variables of {role} have the documented types and choices", message, f"see roles/{role}/meta/argument_specs.yml")
        for message in result.error_messages
    ]
    for path, count in _replica_counts(values):
        if isinstance(count, bool) or not isinstance(count, int):
            if not any(path.split(".")[0] in problem.seen for problem in problems):
                problems.append(Problem(f"{path} is a whole number of replicas", repr(count), f"set {path} to 1 or more"))
        elif count < 1:
            problems.append(
                Problem(
                    f"{path} is at least 1", str(count), "to have no replica of it, take the component out of the stack (stack_components)"
                )
            )
    return problems


def _replica_counts(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value under a key `replicas` or `..._replicas`, with its path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            if str(key) == "replicas" or str(key).endswith("_replicas"):
                yield here, inner
            else:
                yield from _replica_counts(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _replica_counts(inner, f"{path}[{inner.get('name', index) if isinstance(inner, Mapping) else index}]")


def doubled_hosts(hosts: Iterable[tuple[str, str]]) -> list[Problem]:
    """Host names that more than one ingress rule claims. hosts: pairs of (instance, host name)."""
    claimed: dict[str, list[str]] = {}
    for instance, host in hosts:
        claimed.setdefault(host, []).append(instance)
    return [
        Problem(
            "each host name belongs to one ingress rule of one instance",
            f"{host!r} is claimed {len(instances)} times: {', '.join(instances)}",
            "give each instance its own stackgate_domain, or change its ingress_hosts",
        )
        for host, instances in sorted(claimed.items())
        if len(instances) > 1
    ]


def unfit_namespaces(instances: Iterable[tuple[str, str, str]]) -> list[Problem]:
    """Namespaces that no instance may live in, and ones that two instances of a cluster would share.

    instances: triples of (instance, cluster, namespace); the cluster is anything that tells one from another.
    """
    problems = []
    taken: dict[tuple[str, str], list[str]] = {}
    for instance, cluster, namespace in instances:
        taken.setdefault((cluster, namespace), []).append(instance)
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
            problems.append(
                Problem(
                    "stackgate_namespace is lower-case letters, digits and hyphens, at most 63",
                    f"{namespace!r} of {instance}",
                    "it is the inventory host's name, unless stackgate_namespace says otherwise",
                )
            )
        elif namespace == "default" or namespace.startswith("kube-"):
            problems.append(
                Problem(
                    "stackgate_namespace is a namespace of the instance's own: it gets quotas and network policies that deny by default",
                    f"{namespace!r} of {instance}, which belongs to the cluster",
                    "choose another stackgate_namespace, or leave it out",
                )
            )
    problems += [
        Problem(
            "each instance has a namespace of its own",
            f"{namespace!r} is that of {', '.join(sharing)}",
            "leave stackgate_namespace out: each instance then has one of its own name",
        )
        for (_cluster, namespace), sharing in sorted(taken.items())
        if len(sharing) > 1
    ]
    return problems
