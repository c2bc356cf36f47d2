# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the embedded cluster decides without touching the machine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[4] / "roles" / "local_cluster"
sys.path.insert(0, str(ROLE / "files"))

from embedded_cluster import addons, cgroups, machine, network, node, packages, pki, programs, registry, render, settings  # noqa: E402 - the path is made above

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError  # noqa: E402


@pytest.fixture
def values(tmp_path):
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    found = {name.removeprefix("local_cluster_"): value for name, value in defaults.items()}
    places = ("cache_dir", "run_dir", "registry_dir", "admin_kubeconfig", "kubeconfig")
    return {**found, "namespaces": ["wesago"], **{place: str(tmp_path / place) for place in places}}


@pytest.fixture
def wanted(values):
    return settings.read(values)


def test_the_program_gets_every_variable(values):
    given = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__local_cluster_settings"]
    assert set(given) == set(values) - {"state", "node"}
    assert given == {name: "{{ local_cluster_" + name + " }}" for name in given}


def test_addresses(wanted):
    assert (wanted.switch_ip, wanted.node_ip(3), wanted.host_ip) == ("10.231.0.1", "10.231.0.13", "10.231.0.254")
    assert (wanted.dns_ip, wanted.api_url, wanted.registry) == ("10.43.0.10", "https://10.231.0.11:6443", "registry.k3s:5000")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("nodes", 0),
        ("nodes", "three"),
        ("nodes", True),
        ("name", "Stackgate"),
        ("name", "elevenchars"),
        ("network", "10.231.0.7/24"),
        ("network", "8.8.8.0/24"),
        ("network", "10.42.7.0/24"),
        ("pod_network", "10.42.0.0/24"),
        ("namespaces", ["kube-system"]),
        ("namespaces", ["Not_a_name"]),
        ("build_cache", "maybe"),
        ("registry_port", 70000),
    ],
)
def test_wrong_values_name_their_variable(values, variable, value):
    with pytest.raises(StackgateError) as refused:
        settings.read({**values, variable: value})
    assert f"local_cluster_{variable if value != '10.42.7.0/24' else 'network'}" in refused.value.expected


# -- the machine ------------------------------------------------------------------------------------------------------

V1 = [
    machine.Mount(Path("/sys/fs/cgroup/cpu,cpuacct"), "cgroup", ("rw", "cpu", "cpuacct")),
    machine.Mount(Path("/c/memory"), "cgroup", ("rw", "memory")),
]
V2 = [machine.Mount(Path("/sys/fs/cgroup"), "cgroup2", ("rw",))]
NAMED = [machine.Mount(Path("/c/systemd"), "cgroup", ("rw", "xattr", "name=systemd"))]


@pytest.mark.parametrize(("table", "version", "count"), [(V1, 1, 2), (V2, 2, 1), (V1 + V2, 1, 2), (NAMED + V2, 2, 1)])
def test_cgroup_version(table, version, count):
    found = cgroups.Cgroups(table)
    assert (found.version, len(found.hierarchies)) == (version, count)


def test_no_cgroups():
    with pytest.raises(StackgateError, match="control groups are mounted"):
        cgroups.Cgroups([])


def test_cgroup_v1_is_mounted_in_the_node_as_on_the_machine():
    first, _second, named = node._hierarchies(cgroups.Cgroups(V1 + NAMED))
    assert first == {"directory": "cpu,cpuacct", "options": "cpu,cpuacct", "links": ["cpu", "cpuacct"]}
    assert named == {"directory": "systemd", "options": "none,name=systemd", "links": []}


def test_programs_on_file_systems_of_their_own_are_bound():
    table = [machine.Mount(Path(point), "ext4", ()) for point in ("/", "/usr", "/usr/local", "/home", "/optional")]
    assert node._extra_mounts(table) == ["/usr", "/usr/local"]


def test_memory_is_shared_with_the_rest_of_the_machine():
    assert 24 - node.reserved_bytes(24, 3, 0) == 6
    assert 24 - node.reserved_bytes(24, 3, 4) == 4
    assert node.reserved_bytes(24, 3, 99) == 0


# -- a node's files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "cni_directory", lambda: Path("/usr/lib/cni"))
    found = programs.Programs(*(tmp_path / "bin" / name for name in ("kube", "traefik", "kine", "pause", "busybox", "crds")))

    def of(number, table):
        made = node.Node(wanted, cgroups.Cgroups(table), number).files(found, {"pause": "pause:1"})
        return {str(path.relative_to(wanted.node_dir(number))): text for path, text in made.items()}

    return of


def test_only_the_first_node_is_a_server(files):
    assert "etc/services/kube-apiserver.sh" in files(1, V1)
    assert sorted(Path(path).stem for path in files(2, V1) if path.startswith("etc/services")) == [
        "containerd",
        "flanneld",
        "kube-proxy",
        "kubelet",
        "netpol",
    ]


@pytest.mark.parametrize(("table", "words"), [(V1, False), (V2, None)])
def test_the_kubelet_is_told_about_cgroup_v1_only_there(files, table, words):
    assert yaml.safe_load(files(2, table)["etc/kubelet.yaml"]).get("failCgroupV1") is words


@pytest.mark.parametrize("capable", [True, False])
def test_oom_scores_are_lowered_only_where_that_is_possible(files, monkeypatch, capable):
    monkeypatch.setattr(machine, "has_capability", lambda bit: capable)
    made = files(2, V1)
    assert f"restrict_oom_score_adj = {'false' if capable else 'true'}" in made["etc/containerd/config.toml"]
    assert ("oomScoreAdj" in yaml.safe_load(made["etc/kubelet.yaml"])) is not capable


@pytest.mark.parametrize("table", [V1, V2])
def test_scripts_are_shell(files, table, tmp_path):
    for path, text in files(1, table).items():
        if path.endswith(".sh"):
            script = tmp_path / "script.sh"
            script.write_text(text)
            machine.run("bash", "-n", script)


# -- certificates -----------------------------------------------------------------------------------------------------


def test_certificates_are_made_once_and_again_when_an_address_changes(values):
    wanted = settings.read(values)
    assert pki.ensure(wanted) is True
    before = {path.name: path.read_bytes() for path in wanted.pki_dir.glob("*.crt")}
    assert pki.ensure(wanted) is False
    moved = settings.read({**values, "network": "10.99.0.0/24"})
    assert pki.ensure(moved) is True
    after = {path.name: path.read_bytes() for path in wanted.pki_dir.glob("*.crt")}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"kube-apiserver.crt", "node1-serving.crt", "node2-serving.crt", "node3-serving.crt"}


def test_keys_are_for_their_owner_only(wanted):
    pki.ensure(wanted)
    assert {path.stat().st_mode & 0o777 for path in wanted.pki_dir.iterdir()} == {0o600}
    assert wanted.admin_kubeconfig.stat().st_mode & 0o777 == 0o600


# -- hosts ------------------------------------------------------------------------------------------------------------


def test_the_hosts_line_comes_and_goes(wanted, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    assert network.ensure_hosts_line(wanted, hosts) is True
    assert network.ensure_hosts_line(wanted, hosts) is False
    assert "10.231.0.1 registry.k3s" in hosts.read_text()
    assert network.remove_hosts_line(wanted, hosts) is True
    assert hosts.read_text() == "127.0.0.1 localhost\n"
    assert network.remove_hosts_line(wanted, hosts) is False


@pytest.mark.parametrize(
    ("route", "taken"),
    [
        ({"dst": "10.42.3.0/24", "dev": "cni0"}, True),
        ({"dst": "10.0.0.0/8", "dev": "vpn0"}, True),
        ({"type": "blackhole", "dst": "10.42.0.0/16"}, False),
        ({"dst": "10.231.0.0/24", "dev": "stackgate-host"}, False),
        ({"dst": "default", "dev": "eth0"}, False),
        ({"dst": "192.0.2.0/24", "dev": "eth0"}, False),
        ({"type": "local", "dst": "10.231.0.254", "dev": "stackgate-host"}, False),
    ],
)
def test_ranges_in_use(wanted, monkeypatch, route, taken):
    monkeypatch.setattr(network, "ip", lambda *words, **options: json.dumps([route]))
    if taken:
        with pytest.raises(StackgateError, match="is free on this machine"):
            network.check(wanted)
    else:
        network.check(wanted)


def test_hardware_addresses_follow_addresses():
    assert network.mac("10.231.0.13") == "02:00:0a:e7:00:0d"


# -- programs and packages --------------------------------------------------------------------------------------------


def test_no_go(wanted, monkeypatch):
    monkeypatch.setattr(machine, "find_program", lambda name: None)
    with pytest.raises(StackgateError) as refused:
        programs.check_go(wanted)
    assert "local_cluster_programs_dir" in refused.value.hint


def test_an_old_go_that_may_not_fetch_a_newer_one(wanted, monkeypatch):
    monkeypatch.setattr(machine, "find_program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machine, "run", lambda *words, **options: "go1.19.8\nlocal\n")
    with pytest.raises(StackgateError, match=r"1\.19\.8"):
        programs.check_go(wanted)


def test_a_programs_directory_without_the_programs(values, tmp_path):
    wanted = settings.read({**values, "programs_dir": str(tmp_path)})
    with pytest.raises(StackgateError, match="kube, traefik, kine"):
        programs.locate(wanted)


def test_a_programs_directory(values, tmp_path):
    for name in ("kube", "traefik", "kine", "traefik-crds.json"):
        (tmp_path / name).touch(mode=0o755)
    found, missing = programs.locate(settings.read({**values, "programs_dir": str(tmp_path)}))
    assert missing == [] and found.kube == tmp_path / "kube"


def test_a_program_is_known_by_what_it_is_made_of(tmp_path, monkeypatch):
    copy = tmp_path / "go"
    shutil.copytree(programs.SOURCES, copy)
    monkeypatch.setattr(programs, "SOURCES", copy)
    before = {name: programs.digest_of(name) for name in programs.RECIPES}
    (copy / "kine/main.go").write_text("package main")
    after = {name: programs.digest_of(name) for name in programs.RECIPES}
    assert [name for name in before if before[name] != after[name]] == ["kine"]


def test_missing_packages_without_apt(wanted, monkeypatch):
    monkeypatch.setattr(machine, "find_program", lambda name: None if name in ("apt-get", "nft") else "/x")
    monkeypatch.setattr(packages, "cni_directory", lambda: Path("/usr/lib/cni"))
    with pytest.raises(StackgateError, match="nftables"):
        packages.ensure(wanted, building=False)


# -- images and add-ons -----------------------------------------------------------------------------------------------


def test_an_image_is_the_same_bytes_each_time(tmp_path):
    (tmp_path / "program").write_text("x")
    image = registry.Image("name", (("/bin/program", tmp_path / "program"),), (("/bin/p", "program"),), (("/tmp", 0o1777),))
    assert registry._layer(image) == registry._layer(image)
    names = [entry.name for entry, _source in registry._entries(image)]
    assert names == ["bin", "bin/p", "bin/program", "tmp"]


def test_every_addon_is_yaml_with_names(wanted):
    images = dict.fromkeys(("coredns", "busybox", "local_path", "metrics_server", "traefik"), "image:1")
    found = [
        document
        for text in render.tree("addons", wanted.run_dir, {"s": wanted, "images": images}).values()
        for document in yaml.safe_load_all(text)
        if document
    ]
    identities = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in found]
    assert len(identities) == len(set(identities)) > 30
    role = next(d for d in found if d["kind"] == "Role" and d["metadata"]["namespace"] == "wesago")
    assert not [rule for rule in role["rules"] if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]]


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({"state": {"running": {"startedAt": "2026-01-01T00:00:20Z"}}, "ready": True}, ""),
        ({"state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}, "ready": True}, "ran before its node was started"),
        ({"state": {"running": {"startedAt": "2026-01-01T00:00:20Z"}}, "ready": False}, "not ready"),
        ({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}, "ImagePullBackOff no such image"),
    ],
)
def test_a_pod_counts_when_it_runs_in_its_nodes_present_life(status, problem):
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "node1"}, "status": {"containerStatuses": [status]}}
    booted = addons._seconds("2026-01-01T00:00:10Z")
    seen = addons.pod_problem(pod, {"node1": float(booted)})
    assert problem in seen and bool(seen) == bool(problem)


def test_the_cache_s_own_links_on_the_path_lead_nowhere(wanted, monkeypatch):
    monkeypatch.setattr(machine, "find_program", lambda name: str(wanted.bin_dir / name))
    version = json.dumps({"clientVersion": {"gitVersion": programs.KUBERNETES_VERSION}})
    monkeypatch.setattr(machine, "run", lambda *words, **options: version)
    found, _missing = programs.locate(wanted)
    assert found.kube == wanted.bin_dir / f"kube-{programs.digest_of('kube')}"
