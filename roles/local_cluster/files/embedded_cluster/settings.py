# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster shall be: the role's variables, checked, and everything that follows from them."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# The host's end of the wire is called NAME-host, and a device name has at most 15 characters.
LONGEST_NAME = 10
# Node N has address N + 10 of the network, the switch address 1, the host the last but one.
FIRST_NODE_OFFSET = 10
MOST_NODES = 100


@dataclasses.dataclass(frozen=True)
class Settings:
    """One cluster. Fields that have a role variable carry its name without `local_cluster_`; paths are absolute."""

    name: str
    nodes: int
    network: ipaddress.IPv4Network
    pod_network: ipaddress.IPv4Network
    service_network: ipaddress.IPv4Network
    cache_dir: Path
    run_dir: Path
    registry_dir: Path
    registry_name: str
    registry_port: int
    admin_kubeconfig: Path
    kubeconfig: Path
    namespaces: tuple[str, ...]
    read_cluster: bool
    node_memory_bytes: int  # 0: an equal share of the machine's
    node_grace_seconds: int
    node_status_seconds: int
    dns_replicas: int
    ingress_replicas: int
    programs_dir: str  # "" when the programs are built or cached
    build_cache: str  # keep, drop or auto
    build_free_bytes: int
    run_free_bytes: int
    install_packages: bool
    flannel_backend: str
    extra_arguments: Mapping[str, tuple[str, ...]]
    timeout_seconds: int

    # -- addresses -------------------------------------------------------------------------------------------

    @property
    def switch_ip(self) -> str:
        """The switch's own address: registry, and the dead end that nodes have as default route."""
        return str(self.network[1])

    @property
    def host_ip(self) -> str:
        """The machine's address on the switch."""
        return str(self.network[-2])

    def node_ip(self, number: int) -> str:
        return str(self.network[FIRST_NODE_OFFSET + number])

    def node_name(self, number: int) -> str:
        return f"node{number}"

    @property
    def node_numbers(self) -> range:
        return range(1, self.nodes + 1)

    @property
    def api_url(self) -> str:
        return f"https://{self.node_ip(1)}:6443"

    @property
    def dns_ip(self) -> str:
        return str(self.service_network[10])

    @property
    def registry(self) -> str:
        """The one name by which host, nodes and pods reach the registry."""
        return f"{self.registry_name}:{self.registry_port}"

    # -- names in the kernel ---------------------------------------------------------------------------------

    @property
    def switch_namespace(self) -> str:
        return f"{self.name}-switch"

    def node_namespace(self, number: int) -> str:
        return f"{self.name}-{self.node_name(number)}"

    @property
    def host_device(self) -> str:
        return f"{self.name}-host"

    # -- places ----------------------------------------------------------------------------------------------

    def node_dir(self, number: int) -> Path:
        return self.run_dir / self.node_name(number)

    @property
    def pki_dir(self) -> Path:
        return self.run_dir / "pki"

    @property
    def shared_dir(self) -> Path:
        """The directory that every node has as /opt/local-path-shared."""
        return self.run_dir / "shared"

    @property
    def go_dir(self) -> Path:
        return self.cache_dir / "go"

    @property
    def bin_dir(self) -> Path:
        return self.cache_dir / "bin"


def read(values: Mapping[str, Any]) -> Settings:
    """Settings from the role's variables (without their prefix). StackgateError on a value that cannot work."""
    name = str(values["name"])
    if not re.fullmatch(rf"[a-z][a-z0-9]{{0,{LONGEST_NAME - 1}}}", name):
        raise _wrong("name", f"at most {LONGEST_NAME} lower-case letters and digits, a letter first", name)
    network = _network("network", values)
    nodes = _number("nodes", values, 1, min(MOST_NODES, network.num_addresses - FIRST_NODE_OFFSET - 3))
    networks = {"network": network, "pod_network": _network("pod_network", values), "service_network": _network("service_network", values)}
    for one, other in (("network", "pod_network"), ("network", "service_network"), ("pod_network", "service_network")):
        if networks[one].overlaps(networks[other]):
            raise _wrong(one, f"an address range apart from local_cluster_{other} ({networks[other]})", str(networks[one]))
    if networks["pod_network"].prefixlen > 23 or networks["service_network"].prefixlen > 24:
        raise _wrong(
            "pod_network", "a /23 or larger (each node takes a /24 of it), service_network a /24 or larger", str(networks["pod_network"])
        )
    namespaces = tuple(str(namespace) for namespace in values["namespaces"])
    for namespace in namespaces:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
            raise _wrong("namespaces", "names that Kubernetes accepts for a namespace", namespace)
        if namespace in ("default", "kube-system", "kube-public", "kube-node-lease", "stackgate"):
            raise _wrong("namespaces", "namespaces of your own", f"{namespace}, which belongs to the cluster")
    if values["build_cache"] not in ("auto", "keep", "drop"):
        raise _wrong("build_cache", "auto, keep or drop", str(values["build_cache"]))
    if values["flannel_backend"] not in ("vxlan", "host-gw"):
        raise _wrong("flannel_backend", "vxlan or host-gw", str(values["flannel_backend"]))
    gib = 1 << 30
    return Settings(
        name=name,
        nodes=nodes,
        **networks,
        cache_dir=_path(values["cache_dir"]),
        run_dir=_path(values["run_dir"]),
        registry_dir=_path(values["registry_dir"]),
        registry_name=str(values["registry_name"]),
        registry_port=_number("registry_port", values, 1, 65535),
        admin_kubeconfig=_path(values["admin_kubeconfig"]),
        kubeconfig=_path(values["kubeconfig"]),
        namespaces=namespaces,
        read_cluster=bool(values["read_cluster"]),
        node_memory_bytes=int(float(values["node_memory_gib"]) * gib),
        node_grace_seconds=_number("node_grace_seconds", values, 4, 3600),
        node_status_seconds=_number("node_status_seconds", values, 1, 600),
        dns_replicas=_number("dns_replicas", values, 1, 10),
        ingress_replicas=_number("ingress_replicas", values, 1, 10),
        programs_dir=str(values["programs_dir"]),
        build_cache=str(values["build_cache"]),
        build_free_bytes=int(float(values["build_free_gib"]) * gib),
        run_free_bytes=int(float(values["run_free_gib"]) * gib),
        install_packages=bool(values["install_packages"]),
        flannel_backend=str(values["flannel_backend"]),
        extra_arguments={program: tuple(map(str, given)) for program, given in values["extra_arguments"].items()},
        timeout_seconds=_number("timeout_seconds", values, 10, 3600),
    )


def _wrong(variable: str, expected: str, seen: str) -> StackgateError:
    return StackgateError(f"local_cluster_{variable} is {expected}", seen, f"change local_cluster_{variable}; nothing was changed")


def _number(variable: str, values: Mapping[str, Any], least: int, most: int) -> int:
    value = values[variable]
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(variable, f"a whole number from {least} to {most}", repr(value))
    return value


def _network(variable: str, values: Mapping[str, Any]) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(values[variable])
    except ValueError as error:
        raise _wrong(variable, "an IPv4 network such as 10.231.0.0/24", f"{values[variable]}: {error}") from error
    if network.prefixlen > 27 or not network.is_private:
        raise _wrong(variable, "a private network of at least 32 addresses", str(network))
    return network


def _path(value: Any) -> Path:
    return Path(str(value)).expanduser().absolute()
