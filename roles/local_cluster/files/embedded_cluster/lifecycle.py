# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as a whole: start it, stop it, remove it; power off, cut off and bring back one node.

Each step looks first and does only what is missing, so a run that was interrupted is finished by the next one, and a
run on a cluster that is as it should be changes nothing.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import addons, machine, network, packages, pki, programs, registry
from .cgroups import Cgroups
from .node import Node
from .settings import Settings

KERNEL_MODULES = ("overlay", "br_netfilter", "vxlan", "nf_conntrack", "ip_tables", "nf_tables")


def check(settings: Settings) -> None:
    """Everything that can be known to fail, before anything is changed."""
    if os.geteuid() != 0 or not machine.has_capability(machine.CAP_SYS_ADMIN):
        raise StackgateError(
            "the cluster is started by root, with CAP_SYS_ADMIN",
            f"user id {os.geteuid()}, CAP_SYS_ADMIN {'held' if machine.has_capability(machine.CAP_SYS_ADMIN) else 'not held'}",
            "run as root (become: true, or sudo); a container must be privileged",
        )
    Cgroups()
    if machine.find_program("ip"):
        network.check(settings)
    _found, missing = programs.locate(settings)
    if missing:
        programs.check_go(settings)
        _check_disk("build the programs", settings.go_dir, settings.build_free_bytes, "build_free_gib")
    if not settings.run_dir.exists():
        _check_disk("run the cluster", settings.run_dir, settings.run_free_bytes, "run_free_gib")


def _check_disk(what: str, path: Path, wanted: int, variable: str) -> None:
    free = machine.free_bytes(path)
    if free < wanted:
        raise StackgateError(
            f"{wanted / 2**30:.1f} GiB of free disk to {what}, for {path}",
            f"{free / 2**30:.1f} GiB",
            f"make room, put local_cluster_cache_dir elsewhere, or change local_cluster_{variable}",
        )


def install(settings: Settings) -> bool:
    """The distribution's packages and the programs; whether anything had to be installed or built."""
    found, missing = programs.locate(settings)
    installed = packages.ensure(settings, building=bool(missing) or not found.pause.exists())
    _programs, built = programs.ensure(settings)
    return installed or built


def up(settings: Settings) -> bool:
    """Start what does not run, and wait until all of it is Ready; whether anything changed."""
    found, _missing = programs.locate(settings)
    cgroups = Cgroups()
    with _lock(settings):
        _shield_other_cluster(settings)
        machine.load_kernel_modules(KERNEL_MODULES)
        changed = network.ensure(settings)
        changed |= network.ensure_hosts_line(settings)
        changed |= pki.ensure(settings)
        images = registry.images(found)
        references = {name: image.reference() for name, image in images.items()}
        nodes = [Node(settings, cgroups, number) for number in settings.node_numbers]
        changed |= _remove_surplus_nodes(settings, cgroups)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            started = pool.map(lambda node: node.ensure_on(found, references), nodes)  # the server boots while images are pushed
            changed |= registry.ensure(settings, cgroups)
            changed |= registry.push_missing(settings, images)
            ons = list(started)
        changed |= any(ons)
        if any(ons):
            machine.say(f"started: {', '.join(node.name for node, on in zip(nodes, ons, strict=True) if on)}")
        for node in nodes:
            if network.cable(settings, node.number) == "cut":
                network.set_cable(settings, node.number, True)
                machine.say(f"{node.name}: its cable is mended")
                changed = True
        cluster = addons.connect(settings)
        addons.wait_for_server(settings, cluster)
        applied = addons.apply(settings, cluster, addons.documents(settings, found, references))
        if applied:
            machine.say(f"applied {len(applied)} objects" + (f": {', '.join(applied)}" if len(applied) < 6 else ""))
        changed |= bool(applied)
        changed |= addons.write_access(settings, cluster)
        addons.wait_until_ready(settings, cluster, {node.name: node.booted_at() for node in nodes})
        changed |= addons.label_server(settings, cluster)
    machine.say(f"{settings.nodes} nodes at {settings.api_url}, registry {settings.registry}")
    machine.say(f"KUBECONFIG={settings.admin_kubeconfig} may do everything, {settings.kubeconfig} what a stack may")
    return changed


def down(settings: Settings, keep_data: bool) -> bool:
    """Power everything off and leave nothing in the kernel; without `keep_data` nothing on disk either, except caches.

    Works from what the kernel knows, so it also clears up after a start that failed half-way.
    """
    cgroups = Cgroups()
    changed = False
    with _lock(settings):
        for number in _known_nodes(settings, cgroups):
            node = Node(settings, cgroups, number)
            if node.remove():
                machine.say(f"{node.name}: off")
                changed = True
        if registry.remove(settings, cgroups):
            machine.say("registry: off")
            changed = True
        changed |= network.remove(settings)
        changed |= network.remove_hosts_line(settings)
        changed |= cgroups.remove(settings.name)
        for number in settings.node_numbers if keep_data else ():
            shutil.rmtree(settings.node_dir(number) / "root", ignore_errors=True)
        if not keep_data:
            changed |= _remove_data(settings)
    if not keep_data:
        shutil.rmtree(settings.run_dir, ignore_errors=True)
    machine.say("the cluster is " + ("stopped, its data kept" if keep_data else "gone"))
    return changed


def set_node(settings: Settings, name: str, state: str) -> bool:
    """Power one node, given by name or number, off or on; cut its cable or heal it. Whether that changed anything."""
    numbers = {settings.node_name(number): number for number in settings.node_numbers}
    numbers |= {str(number): number for number in settings.node_numbers}
    if name not in numbers:
        names = ", ".join(map(settings.node_name, settings.node_numbers))
        raise StackgateError(f"local_cluster_node is a node of the cluster: {names}", repr(name))
    number = numbers[name]
    cgroups = Cgroups()
    with _lock(settings):
        if not (network.NAMESPACES / settings.switch_namespace).exists():
            raise StackgateError(f"the cluster {settings.name} runs", "it does not", "start it: local_cluster_state=present")
        node = Node(settings, cgroups, number)
        if state == "off":
            changed = node.off()
            machine.say(f"{node.name}: off")
            return changed
        if state == "on":
            changed = node.on()
            machine.say(f"{node.name}: on")
            cluster = addons.connect(settings)
            addons.wait_for_server(settings, cluster)
            _wait_for_node(settings, node, cluster)
            return changed
        wanted = "up" if state == "heal" else "cut"
        there = network.cable(settings, number)
        if there == "missing":
            raise StackgateError(f"{node.name} is on", "it is off", "switch it on first: local_cluster_state=node_on")
        if there != wanted:
            network.set_cable(settings, number, wanted == "up")
        machine.say(f"{node.name}: its cable is {wanted}")
        return there != wanted


def _wait_for_node(settings: Settings, node: Node, cluster: addons.Cluster) -> None:
    start = time.monotonic()
    while seen := _problem(node, cluster):
        waited = time.monotonic() - start
        if waited > settings.timeout_seconds:
            raise StackgateError(f"{node.name} is Ready", seen, f"read the logs in {node.directory}/log", waited=waited)
        time.sleep(0.2)
    machine.say(f"{node.name} is Ready")


def _problem(node: Node, cluster: addons.Cluster) -> str:
    try:
        return addons.node_problem(cluster, node.name, node.booted_at())
    except StackgateError as error:
        return error.seen


@contextlib.contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """One run at a time."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackgateError(
                f"nobody else starts or stops the cluster {settings.name}", "another run is at it", "wait for it to end"
            ) from error
        yield


def _shield_other_cluster(settings: Settings) -> None:
    """A running cluster of this name is this one, unless its data is elsewhere: then it is somebody else's."""
    mark = Path(f"/run/{settings.name}.local-cluster")
    if (network.NAMESPACES / settings.switch_namespace).exists() and mark.exists() and mark.read_text() != str(settings.run_dir):
        raise StackgateError(
            f"a running cluster called {settings.name} has its data in {settings.run_dir}",
            f"it has them in {mark.read_text()}",
            "choose another local_cluster_name, or the same local_cluster_run_dir",
        )
    mark.write_text(str(settings.run_dir))


def _known_nodes(settings: Settings, cgroups: Cgroups) -> list[int]:
    """The nodes of the settings and any other the kernel or the disk knows: a cluster may have had more."""
    names = {path.name for path in settings.run_dir.glob("node*")}
    for mount in cgroups.hierarchies:
        names |= {path.name for path in (mount.point / settings.name).glob("node*")}
    prefix = f"{settings.name}-"
    names |= {path.name.removeprefix(prefix) for path in network.NAMESPACES.glob(f"{prefix}node*")}
    numbers = {int(name.removeprefix("node")) for name in names if name.removeprefix("node").isdigit()}
    return sorted(numbers | set(settings.node_numbers))


def _remove_surplus_nodes(settings: Settings, cgroups: Cgroups) -> bool:
    """Nodes of a larger former cluster go."""
    changed = False
    for number in _known_nodes(settings, cgroups):
        if number not in settings.node_numbers:
            changed |= Node(settings, cgroups, number).remove()
            shutil.rmtree(settings.node_dir(number), ignore_errors=True)
    return changed


def _remove_data(settings: Settings) -> bool:
    had = any(settings.run_dir.glob("node*")) or settings.admin_kubeconfig.exists()
    inside = [mount.point for mount in machine.mounts() if settings.run_dir in mount.point.parents]
    if inside:
        raise StackgateError(f"nothing is mounted below {settings.run_dir}", ", ".join(map(str, inside)), "unmount it")
    for path in (settings.admin_kubeconfig, settings.kubeconfig, Path(f"/run/{settings.name}.local-cluster")):
        path.unlink(missing_ok=True)
    return had
