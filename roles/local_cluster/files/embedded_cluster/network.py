# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wires: a switch in a namespace of its own, one cable to the machine and one to each node.

Nothing is bridged or routed to the outside: nodes' default route ends in the switch, and the machine black-holes the
cluster's address ranges first of all, so that no packet for them can leave through its default route.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine
from .settings import Settings

NAMESPACES = Path("/run/netns")
BRIDGE = "br0"
# The worst metric of all our routes: the cable to the switch beats the black hole while it is there, and ours is told
# from anybody else's by it.
METRIC = 4160


def ip(*words: str, namespace: str | None = None) -> str:
    """One `ip` command, in a network namespace if given."""
    return machine.run("ip", *(("-n", namespace) if namespace else ()), *words)


def _links(namespace: str | None = None) -> dict[str, Any]:
    return {link["ifname"]: link for link in json.loads(ip("-j", "link", namespace=namespace) or "[]")}


def _ranges(settings: Settings) -> tuple[ipaddress.IPv4Network, ...]:
    return (settings.network, settings.pod_network, settings.service_network)


def _routes() -> list[dict[str, Any]]:
    return list(json.loads(ip("-j", "-4", "route", "show", "table", "all") or "[]"))


def check(settings: Settings) -> None:
    """StackgateError when one of the ranges is in use on this machine by somebody else."""
    for route in _routes():
        kind = route.get("type", "unicast")
        if route["dst"] == "default" or kind in ("blackhole", "unreachable", "prohibit") or route.get("dev") == settings.host_device:
            continue
        destination = ipaddress.IPv4Network(route["dst"])
        for wanted in _ranges(settings):
            if destination.overlaps(wanted) and destination.prefixlen > 0:
                raise StackgateError(
                    f"the address range {wanted} is free on this machine",
                    f"{route['dst']} is routed to {route.get('dev', route.get('gateway', kind))}",
                    "choose other ranges: local_cluster_network, local_cluster_pod_network, local_cluster_service_network",
                )


def ensure(settings: Settings) -> bool:
    """Black holes, switch and the machine's cable; whether anything had to be made."""
    made = _ensure_black_holes(settings)
    switch = settings.switch_namespace
    if not (NAMESPACES / switch).exists():
        _remember_namespace_directory(settings)
        ip("netns", "add", switch)
        made = True
    links = _links(switch)
    if BRIDGE not in links:
        ip("link", "set", "lo", "up", namespace=switch)
        # A bridge without an address of its own takes that of one of its cables, and another one when that cable is pulled.
        ip("link", "add", BRIDGE, "address", mac(settings.switch_ip), "type", "bridge", namespace=switch)
        made = True
    ip("addr", "replace", f"{settings.switch_ip}/{settings.network.prefixlen}", "dev", BRIDGE, namespace=switch)
    ip("link", "set", BRIDGE, "up", namespace=switch)
    if settings.host_device not in _links():
        if "host" in links:
            ip("link", "del", "host", namespace=switch)
        ip("link", "add", settings.host_device, "type", "veth", "peer", "name", "host", "netns", switch)
        made = True
    ip("link", "set", "host", "master", BRIDGE, "up", namespace=switch)
    ip("addr", "replace", f"{settings.host_ip}/{settings.network.prefixlen}", "dev", settings.host_device)
    ip("link", "set", settings.host_device, "up")
    return made


def _ensure_black_holes(settings: Settings) -> bool:
    there = {route["dst"] for route in _routes() if route.get("type") == "blackhole" and route.get("metric") == METRIC}
    absent = [wanted for wanted in map(str, _ranges(settings)) if wanted not in there]
    for wanted in absent:
        ip("route", "replace", "blackhole", wanted, "metric", str(METRIC))
    return bool(absent)


def _remember_namespace_directory(settings: Settings) -> None:
    """The first `ip netns add` on a machine mounts /run/netns on itself: note whether that mount will be ours."""
    if not any(mount.point == NAMESPACES for mount in machine.mounts()):
        settings.run_dir.mkdir(parents=True, exist_ok=True)
        (settings.run_dir / "owns-run-netns").touch()


def mac(address: str) -> str:
    """The hardware address that goes with an IPv4 address, locally administered.

    Always the same one: after a node was switched off and on, its neighbours still know where to find it.
    """
    return "02:00:" + ipaddress.IPv4Address(address).packed.hex(":")


def make_node(settings: Settings, number: int) -> None:
    """A fresh network namespace for the node, with its cable plugged into the switch."""
    namespace, name = settings.node_namespace(number), settings.node_name(number)
    remove_node(settings, number)
    ip("netns", "add", namespace)
    ip("link", "set", "lo", "up", namespace=namespace)
    end = ("eth0", "address", mac(settings.node_ip(number)), "netns", namespace)
    ip("link", "add", *end, "type", "veth", "peer", "name", name, "netns", settings.switch_namespace)
    ip("link", "set", name, "master", BRIDGE, "up", namespace=settings.switch_namespace)
    ip("addr", "add", f"{settings.node_ip(number)}/{settings.network.prefixlen}", "dev", "eth0", namespace=namespace)
    ip("link", "set", "eth0", "up", namespace=namespace)
    # A dead end (the switch forwards nothing), but without a default route a node cannot reach a Service's address.
    ip("route", "add", "default", "via", settings.switch_ip, namespace=namespace)


def remove_node(settings: Settings, number: int) -> bool:
    """Pull the node's cable and forget its network namespace; whether there was one."""
    namespace = settings.node_namespace(number)
    there = (NAMESPACES / namespace).exists()
    if (NAMESPACES / settings.switch_namespace).exists():
        with contextlib.suppress(StackgateError):  # the cable goes with the namespace at its other end
            ip("link", "del", settings.node_name(number), namespace=settings.switch_namespace)
    if there:
        ip("netns", "del", namespace)
    return there


def cable(settings: Settings, number: int) -> str:
    """The state of a node's cable at the switch: up, cut, or missing when the node is off."""
    if not (NAMESPACES / settings.switch_namespace).exists():
        return "missing"
    link = _links(settings.switch_namespace).get(settings.node_name(number))
    if link is None:
        return "missing"
    return "up" if "UP" in link["flags"] else "cut"


def set_cable(settings: Settings, number: int, up: bool) -> None:
    """Cut a node's cable at the switch, or mend it. The node keeps its address and notices nothing but silence."""
    ip("link", "set", settings.node_name(number), "up" if up else "down", namespace=settings.switch_namespace)


def remove(settings: Settings) -> bool:
    """Remove the machine's cable, the switch and the black holes; whether there was anything."""
    had = False
    if settings.host_device in _links():
        ip("link", "del", settings.host_device)
        had = True
    if (NAMESPACES / settings.switch_namespace).exists():
        ip("netns", "del", settings.switch_namespace)
        had = True
    for route in _routes():
        if route.get("type") == "blackhole" and route.get("metric") == METRIC and route["dst"] in map(str, _ranges(settings)):
            ip("route", "del", "blackhole", route["dst"], "metric", str(METRIC))
            had = True
    mark = settings.run_dir / "owns-run-netns"
    if mark.exists() and NAMESPACES.is_dir() and not os.listdir(NAMESPACES):
        with contextlib.suppress(StackgateError):
            machine.run("umount", NAMESPACES)
            NAMESPACES.rmdir()
        mark.unlink()
    return had


# -- /etc/hosts -------------------------------------------------------------------------------------------------------

HOSTS = Path("/etc/hosts")


def _hosts_mark(settings: Settings) -> str:
    return f"# made by local_cluster {settings.name}"


def ensure_hosts_line(settings: Settings, hosts: Path = HOSTS) -> bool:
    """Let the machine know the registry by its name; whether the line had to be written."""
    wanted = f"{settings.switch_ip} {settings.registry_name} {_hosts_mark(settings)}"
    lines = hosts.read_text().splitlines()
    kept = [line for line in lines if not line.endswith(_hosts_mark(settings))]
    if wanted in lines and len(lines) == len(kept) + 1:
        return False
    # Written in place: in a container the file is a mount, which cannot be replaced.
    hosts.write_text("\n".join([*kept, wanted]) + "\n")
    return True


def remove_hosts_line(settings: Settings, hosts: Path = HOSTS) -> bool:
    """Take the line out again; whether it was there."""
    lines = hosts.read_text().splitlines()
    kept = [line for line in lines if not line.endswith(_hosts_mark(settings))]
    if kept == lines:
        return False
    hosts.write_text("".join(f"{line}\n" for line in kept))
    return True
