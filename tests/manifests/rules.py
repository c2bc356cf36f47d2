# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every rendered object must keep to. A rule takes a Stack and yields a sentence for each breach; tests live elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Rule = Callable[["Stack"], Iterator[str]]

TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
LASTING = ("Deployment", "StatefulSet", "DaemonSet")
# Settings of the pod's own network, which `restricted` allows since 1.29.
OWN_SYSCTLS = {f"net.ipv4.tcp_keepalive_{what}" for what in ("time", "intvl", "probes")}
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECRET_WORD = re.compile(r"PASSWORD|SECRET|TOKEN|PRIVATE|CREDENTIAL|API_?KEY", re.IGNORECASE)
# Sets that their role's bootstrap restarts, in the order that the store needs: the StatefulSet itself leaves old pods alone.
ROLLED_BY_BOOTSTRAP = ("mongodb", "object-storage", "postgresql", "redis")
# What Kubernetes puts into every namespace.
EVERYWHERE = {"kube-root-ca.crt": ["ca.crt"]}
# Ports of the API server, the only thing that a component may speak to wherever it is.
API_SERVER = {443, 6443}
# The components whose pods speak to the API server, and what they may write there: objects of a kind, by name.
API_CLIENTS = {"postgresql": {"configmaps", "pods"}}
LABELS = ("instance", "component", "managed-by", "part-of")
CLIENT_OF = "stackgate.k3s/client-of-"
EDGE = "stackgate.k3s/edge"
# What Kubernetes labels each pod of a StatefulSet with: a Service for one pod selects by it.
POD_NAME = "statefulset.kubernetes.io/pod-name"


@dataclass
class Stack:
    """All objects of one rendered set.

    secrets: keys of the Secrets that tasks make beside the manifests, by name. outside: Secrets that a user brings.
    gates: the conditions of each role. upstreams: the Services that nginx passes requests to.
    """

    objects: list[Object]
    secrets: dict[str, list[str]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    gates: dict[str, list[Object]] = field(default_factory=dict)
    upstreams: list[Object] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object | None:
        return next((item for item in self.of(kind) if item["metadata"]["name"] == name), None)

    def pods(self) -> list[Pod]:
        return [Pod(item, template(item)) for item in self.of(*TEMPLATED)]


@dataclass
class Pod:
    """The pod that an object makes."""

    owner: Object
    template: Object

    @property
    def name(self) -> str:
        return title(self.owner)

    @property
    def lasting(self) -> bool:
        return self.owner["kind"] in LASTING

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template["metadata"]["labels"])

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def spec(self) -> Object:
        return dict(self.template["spec"])

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def volumes(self) -> dict[str, Object]:
        claims = self.owner["spec"].get("volumeClaimTemplates") or [] if self.owner["kind"] == "StatefulSet" else []
        own = {claim["metadata"]["name"]: {"claimTemplate": claim} for claim in claims}
        return {**own, **{volume["name"]: volume for volume in self.spec.get("volumes", [])}}

    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for container in self.spec["containers"] for port in container.get("ports", [])}


def title(item: Object) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def template(item: Object) -> Object:
    spec = item["spec"]
    return dict(spec["jobTemplate"]["spec"]["template"] if item["kind"] == "CronJob" else spec["template"])


def one_pod(service: Object) -> str:
    """The only pod that a Service is for, by its name; empty: it is for all of a workload."""
    return str((service["spec"].get("selector") or {}).get(POD_NAME, ""))


def matches(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a selector's matchLabels are all among the labels; an empty selector selects everything."""
    wanted = (selector or {}).get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


# -- the pod's own security -----------------------------------------------------------------------------------------------


def restricted(stack: Stack) -> Iterator[str]:
    """Pod Security `restricted`, a user of 10000 or above, no host of any kind."""
    for pod in stack.pods():
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) < 10000 or context.get("runAsGroup", 0) < 10000:
            yield f"{pod.name}: runAsNonRoot true, runAsUser and runAsGroup 10000 or above expected, seen {context}"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name}: seccompProfile RuntimeDefault expected"
        if {one["name"] for one in context.get("sysctls", [])} - OWN_SYSCTLS or any(
            pod.spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")
        ):
            yield f"{pod.name}: shares something with its node"
        for volume in pod.volumes.values():
            kinds = set(volume) - {"name", "claimTemplate"}
            if not kinds <= RESTRICTED_VOLUMES:
                yield f"{pod.name}: volume of a kind that restricted forbids: {kinds - RESTRICTED_VOLUMES}"
        for container in pod.containers:
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]} or own.get("privileged"):
                yield f"{pod.name}: container {container['name']}: no escalation, no capabilities, no privileges expected, seen {own}"
            if "procMount" in own or own.get("runAsUser", 10000) < 10000 or own.get("runAsNonRoot") is False:
                yield f"{pod.name}: container {container['name']} weakens the pod's security context"
            for port in container.get("ports", []):
                if "hostPort" in port or port["containerPort"] < 1024:
                    yield f"{pod.name}: port {port}: no hostPort, and 1024 or above expected"
            for probe in (container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")):
                if any("host" in probe.get(way, {}) for way in ("httpGet", "tcpSocket")):
                    yield f"{pod.name}: container {container['name']}: a probe names a host, which restricted forbids"


def read_only_root(stack: Stack) -> Iterator[str]:
    """Nothing is written but what is mounted, and scratch has a size."""
    for pod in stack.pods():
        for container in pod.containers:
            if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"{pod.name}: container {container['name']}: readOnlyRootFilesystem true expected"
        for name, volume in pod.volumes.items():
            if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
                yield f"{pod.name}: emptyDir {name}: sizeLimit expected"


def resources(stack: Stack) -> Iterator[str]:
    """Requests for processor and memory, limits for memory and disk, in every container."""
    for pod in stack.pods():
        for container in pod.containers:
            given = container.get("resources", {})
            missing = {"cpu", "memory"} - set(given.get("requests", {}))
            # The namespace's LimitRange gives a limit of disk to whom names none.
            missing |= {"memory limit"} - {f"{name} limit" for name in given.get("limits", {})}
            if missing:
                yield f"{pod.name}: container {container['name']}: no {', '.join(sorted(missing))}"


def images(stack: Stack) -> Iterator[str]:
    """A tag that says which one, or a digest; and a pull policy."""
    for pod in stack.pods():
        for container in pod.containers:
            image = container["image"]
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and (not tag or tag == "latest"):
                yield f"{pod.name}: image {image}: a digest or a tag other than latest expected"
            if container.get("imagePullPolicy") not in ("IfNotPresent", "Always", "Never"):
                yield f"{pod.name}: container {container['name']}: imagePullPolicy expected"


def accounts(stack: Stack) -> Iterator[str]:
    """An account of its own, that gives no token."""
    for pod in stack.pods():
        account = stack.named("ServiceAccount", pod.spec.get("serviceAccountName", "default"))
        if account is None:
            yield f"{pod.name}: ServiceAccount {pod.spec.get('serviceAccountName', 'default')} is not among the objects"
        elif account.get("automountServiceAccountToken") is not False:
            yield f"{title(account)}: automountServiceAccountToken false expected"
        if pod.spec.get("automountServiceAccountToken") is not False or pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: automountServiceAccountToken false and enableServiceLinks false expected"


def environment(stack: Stack) -> Iterator[str]:
    """No variable twice, no secret as a plain value; Secrets as files for the group only."""
    for pod in stack.pods():
        for container in pod.containers:
            names = Counter(variable["name"] for variable in container.get("env", []))
            for name in (name for name, count in names.items() if count > 1):
                yield f"{pod.name}: container {container['name']}: {name} stands twice"
            for variable in container.get("env", []):
                name = variable["name"]
                if "value" in variable and SECRET_WORD.search(name) and not name.endswith("_FILE") and variable["value"]:
                    yield f"{pod.name}: container {container['name']}: {name} holds a secret as plain text"
        for name, volume in pod.volumes.items():
            if "secret" in volume and volume["secret"].get("defaultMode") != 0o440:
                yield f"{pod.name}: Secret volume {name}: defaultMode 0440 expected"
            if "secret" in volume and not pod.spec["securityContext"].get("fsGroup"):
                yield f"{pod.name}: Secret volume {name}: without fsGroup its files are root's alone"


# -- running --------------------------------------------------------------------------------------------------------------


def probes(stack: Stack) -> Iterator[str]:
    """What lasts tells whether it lives, what listens tells whether it is ready; on ports that it has."""
    for pod in stack.pods():
        for container in pod.spec["containers"]:
            given = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness") if f"{kind}Probe" in container}
            ports = {port["name"] for port in container.get("ports", [])} | {port["containerPort"] for port in container.get("ports", [])}
            if pod.lasting:
                missing = {"liveness"} | ({"readiness"} if container.get("ports") else set())
                for kind in sorted(missing - set(given)):
                    yield f"{pod.name}: container {container['name']}: no {kind} probe"
            elif given:
                yield f"{pod.name}: container {container['name']}: a job is not probed"
            for kind, probe in given.items():
                ways = [way for way in ("httpGet", "tcpSocket", "exec", "grpc") if way in probe]
                if len(ways) != 1:
                    yield f"{pod.name}: {kind} probe: one way expected, seen {ways}"
                elif ways[0] in ("httpGet", "tcpSocket") and probe[ways[0]]["port"] not in ports:
                    yield f"{pod.name}: {kind} probe: port {probe[ways[0]]['port']} is not one of {sorted(map(str, ports))}"


def spread(stack: Stack) -> Iterator[str]:
    """Pods of one workload go to different nodes."""
    for pod in stack.pods():
        if not pod.lasting or pod.owner["kind"] == "DaemonSet":
            continue
        constraints = pod.spec.get("topologySpreadConstraints", [])
        hosts = [constraint for constraint in constraints if constraint["topologyKey"] == "kubernetes.io/hostname"]
        if not hosts or not all(matches(constraint.get("labelSelector"), pod.labels) for constraint in hosts):
            yield f"{pod.name}: a spread over kubernetes.io/hostname that selects its own pods expected"


def updates(stack: Stack) -> Iterator[str]:
    """A new version takes over without a gap: none missing while rolling, a pause before the end, time to end."""
    for pod in stack.pods():
        spec = pod.owner["spec"]
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if pod.owner["kind"] == "Deployment":
            rolling = spec.get("strategy", {}).get("rollingUpdate", {})
            if spec.get("strategy", {}).get("type") != "RollingUpdate" or rolling.get("maxUnavailable") != 0 or not rolling.get("maxSurge"):
                yield f"{pod.name}: RollingUpdate with maxUnavailable 0 and maxSurge expected, seen {spec.get('strategy')}"
            for container in pod.spec["containers"]:
                pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                if container.get("ports") and not pause:
                    yield f"{pod.name}: container {container['name']}: a pause before the end expected (preStop sleep)"
                if grace <= pause:
                    yield f"{pod.name}: {grace} s to end are not more than the pause of {pause} s"
        alone = pod.component == "redis" and spec.get("replicas") == 1  # without sentinels there is no order to keep
        strategy = "OnDelete" if pod.component in ROLLED_BY_BOOTSTRAP and not alone else "RollingUpdate"
        if pod.owner["kind"] == "StatefulSet" and spec.get("updateStrategy", {}).get("type") != strategy:
            yield f"{pod.name}: updateStrategy {strategy} expected"
        if pod.owner["kind"] == "Job" and (not spec.get("activeDeadlineSeconds") or "ttlSecondsAfterFinished" in spec):
            yield f"{pod.name}: a deadline and no time to live expected: a Job that vanishes would be made again by the next run"


def disruption(stack: Stack) -> Iterator[str]:
    """Of several pods one may be taken away, and not all."""
    for pod in stack.pods():
        if not pod.lasting:
            continue
        scaler = next((item for item in stack.of("HorizontalPodAutoscaler") if targets(item, pod.owner)), None)
        replicas = scaler["spec"]["minReplicas"] if scaler else pod.owner["spec"].get("replicas", 1)
        if scaler and "replicas" in pod.owner["spec"]:
            yield f"{pod.name}: has both replicas and {title(scaler)}, which would take turns"
        budgets = [item for item in stack.of("PodDisruptionBudget") if matches(item["spec"]["selector"], pod.labels)]
        if replicas > 1 and len(budgets) != 1:
            yield f"{pod.name}: {replicas} pods and {len(budgets)} PodDisruptionBudgets, one expected"
        for budget in budgets:
            if budget["spec"].get("maxUnavailable") != 1 or budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield f"{title(budget)}: maxUnavailable 1 and AlwaysAllow expected, seen {budget['spec']}"


def members(pod: Pod) -> list[str]:
    """The pods of a StatefulSet by name."""
    owner = pod.owner
    return [f"{owner['metadata']['name']}-{ordinal}" for ordinal in range(owner["spec"].get("replicas", 1))]


def targets(scaler: Object, owner: Object) -> bool:
    reference = scaler["spec"]["scaleTargetRef"]
    return bool(reference["kind"] == owner["kind"] and reference["name"] == owner["metadata"]["name"])


# -- objects that name each other -------------------------------------------------------------------------------------------


def selectors(stack: Stack) -> Iterator[str]:
    """Each selector finds the pods that it means, and no others."""
    pods = stack.pods()
    for pod in pods:
        if pod.lasting and not matches(pod.owner["spec"]["selector"], pod.labels):
            yield f"{pod.name}: its selector does not match its own pods"
        if pod.lasting:
            for other in pods:
                if other.owner is not pod.owner and matches(pod.owner["spec"]["selector"], other.labels):
                    yield f"{pod.name}: its selector also matches the pods of {other.name}"
    for item in stack.of("Service", "PodDisruptionBudget"):
        selector = {"matchLabels": item["spec"]["selector"]} if item["kind"] == "Service" else item["spec"]["selector"]
        name = one_pod(item) if item["kind"] == "Service" else ""
        if name:
            selector = {"matchLabels": {key: value for key, value in selector["matchLabels"].items() if key != POD_NAME}}
        found = [pod for pod in pods if matches(selector, pod.labels) and (not name or name in members(pod))]
        # Several workloads of one component only where the selector says so.
        if len(found) != 1 and (not found or selector["matchLabels"].get("app.kubernetes.io/component") != found[0].component):
            yield f"{title(item)}: selects {', '.join(pod.name for pod in found) or 'nothing'}; one workload, or a component, expected"
    for item in stack.of("HorizontalPodAutoscaler"):
        if not any(targets(item, pod.owner) for pod in pods):
            yield f"{title(item)}: has no target among the objects"
    for item in stack.of("NetworkPolicy"):
        selector = item["spec"]["podSelector"]
        own_clients = [key for key in selector.get("matchLabels", {}) if key.startswith((CLIENT_OF, EDGE))]
        if selector and not own_clients and not any(matches(selector, pod.labels) for pod in pods):
            yield f"{title(item)}: selects no pods"


def references(stack: Stack) -> Iterator[str]:
    """Nothing names what is not there: ports, volumes, claims, keys, Services."""
    for service in stack.of("Service"):
        pod = next((pod for pod in stack.pods() if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)), None)
        for port in service["spec"].get("ports", []):
            if pod and port["targetPort"] not in pod.ports():
                yield f"{title(service)}: {pod.name} has no port {port['targetPort']!r}"
    for ingress in stack.of("Ingress"):
        yield from _ingress_references(stack, ingress)
    for pod in stack.pods():
        yield from _pod_references(stack, pod)


def _ingress_references(stack: Stack, ingress: Object) -> Iterator[str]:
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            service = stack.named("Service", backend["name"])
            ports = service["spec"].get("ports", []) if service else []
            if not any(backend["port"] in ({"number": port["port"]}, {"name": port["name"]}) for port in ports):
                yield f"{title(ingress)}: there is no Service {backend['name']} with port {backend['port']}"
    for tls in ingress["spec"].get("tls", []):
        if tls["secretName"] not in stack.outside:
            yield f"{title(ingress)}: Secret {tls['secretName']} is neither made nor expected from outside"
    names = ingress["metadata"].get("annotations", {}).get("traefik.ingress.kubernetes.io/router.middlewares", "")
    for name in filter(None, names.split(",")):
        wanted = name.removeprefix(ingress["metadata"]["namespace"] + "-").removesuffix("@kubernetescrd")
        if stack.named("Middleware", wanted) is None:
            yield f"{title(ingress)}: there is no Middleware {wanted}"


def _pod_references(stack: Stack, pod: Pod) -> Iterator[str]:
    keys_of_secrets = {
        **stack.secrets,
        **{item["metadata"]["name"]: list(item.get("data", {})) for item in stack.of("Secret")},
    }
    if pod.owner["kind"] == "StatefulSet":
        service = stack.named("Service", pod.owner["spec"]["serviceName"])
        if service is None or service["spec"].get("clusterIP") != "None" or not service["spec"].get("publishNotReadyAddresses"):
            yield f"{pod.name}: a headless Service {pod.owner['spec']['serviceName']} that publishes members before they are ready expected"
    for volume in pod.volumes.values():
        for kind, reference in _sources(volume):
            if kind == "claim" and stack.named("PersistentVolumeClaim", reference["name"]) is None:
                yield f"{pod.name}: there is no claim {reference['name']}"
            known = keys_of_secrets.get(reference["name"]) if kind == "secret" else None
            if kind == "configMap":
                found = stack.named("ConfigMap", reference["name"])
                known = [*found.get("data", {}), *found.get("binaryData", {})] if found else EVERYWHERE.get(reference["name"])
            if kind == "secret" and reference["name"] in stack.outside:
                continue
            if kind != "claim" and known is None:
                yield f"{pod.name}: there is no {kind} {reference['name']}"
            for key in reference["keys"] if known is not None else []:
                if key not in known:
                    yield f"{pod.name}: {kind} {reference['name']} has no key {key}"
    for container in pod.containers:
        paths = Counter(mount["mountPath"] for mount in container.get("volumeMounts", []))
        for path in (path for path, count in paths.items() if count > 1):
            yield f"{pod.name}: container {container['name']}: two mounts at {path}"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in pod.volumes:
                yield f"{pod.name}: container {container['name']}: there is no volume {mount['name']}"
        for variable in container.get("env", []):
            wanted = variable.get("valueFrom", {}).get("secretKeyRef")
            if wanted and wanted["key"] not in keys_of_secrets.get(wanted["name"], []):
                yield f"{pod.name}: {variable['name']}: there is no key {wanted['key']} in a Secret {wanted['name']}"
    mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
    for name in set(pod.volumes) - mounted:
        yield f"{pod.name}: nothing mounts the volume {name}"


def _sources(volume: Object) -> Iterator[tuple[str, Object]]:
    """What a volume takes its files from: (kind, {name, keys})."""
    if "persistentVolumeClaim" in volume:
        yield "claim", {"name": volume["persistentVolumeClaim"]["claimName"], "keys": []}
    if "secret" in volume:
        yield "secret", {"name": volume["secret"]["secretName"], "keys": [item["key"] for item in volume["secret"].get("items", [])]}
    maps = [volume["configMap"]] if "configMap" in volume else []
    for source in volume.get("projected", {}).get("sources", []):
        maps += [source["configMap"]] if "configMap" in source else []
        if "secret" in source and not source["secret"].get("optional"):
            yield "secret", {"name": source["secret"]["name"], "keys": [item["key"] for item in source["secret"].get("items", [])]}
    for source in maps:
        yield "configMap", {"name": source["name"], "keys": [item["key"] for item in source.get("items", [])]}


def names(stack: Stack) -> Iterator[str]:
    """One object of each name, with names and labels that Kubernetes and people can live with."""
    seen = Counter((item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in stack.objects)
    for key in (key for key, count in seen.items() if count > 1):
        yield f"{key[1]}/{key[2]} stands twice"
    for item in stack.objects:
        labels = item["metadata"].get("labels", {})
        missing = [name for name in LABELS if not labels.get(f"app.kubernetes.io/{name}")]
        if missing:
            yield f"{title(item)}: labels app.kubernetes.io/{{{','.join(missing)}}} expected"
        if len(item["metadata"]["name"]) > 63:
            yield f"{title(item)}: a name of at most 63 characters expected"
        if item["metadata"].get("namespace") in (None, "default"):
            yield f"{title(item)}: a namespace of its own expected"
    for pod in stack.pods():
        for name in ("name", "instance", "component", "managed-by"):
            if not pod.labels.get(f"app.kubernetes.io/{name}"):
                yield f"{pod.name}: its pods lack the label app.kubernetes.io/{name}"


# -- network ----------------------------------------------------------------------------------------------------------------


def network(stack: Stack) -> Iterator[str]:
    """All is denied, and every connection that a stack needs is allowed at both of its ends."""
    policies = stack.of("NetworkPolicy")
    if not any(
        not policy["spec"]["podSelector"]
        and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not policy["spec"].get("ingress")
        and not policy["spec"].get("egress")
        for policy in policies
    ):
        yield "no NetworkPolicy denies everything"
    dns = [
        {(port["protocol"], port["port"]) for port in rule.get("ports", [])}
        for policy in policies
        if not policy["spec"]["podSelector"]
        for rule in policy["spec"].get("egress", [])
    ]
    if {("UDP", 53), ("TCP", 53)} not in dns:
        yield "no NetworkPolicy lets every pod ask for names"
    for policy in policies:
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction, []):
                api_server = direction == "egress" and {port.get("port") for port in rule.get("ports", [{}])} <= API_SERVER
                if not rule.get("from" if direction == "ingress" else "to") and not api_server:
                    yield f"{title(policy)}: an {direction} rule for the whole world"
    pods = stack.pods()
    for client in pods:
        for server_name in (key.removeprefix(CLIENT_OF) for key in client.labels if key.startswith(CLIENT_OF)):
            service = stack.named("Service", server_name)
            if service is None:
                yield f"{client.name}: client of {server_name}, of which there is no Service"
                continue
            server = next((pod for pod in pods if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)), None)
            if server is None:
                yield f"{client.name}: client of {server_name}, whose Service selects no pod"
                continue
            for port in (port["targetPort"] for port in service["spec"]["ports"]):
                if not allowed(policies, "egress", client, server, port):
                    yield f"{client.name}: no policy lets it out to {server.name}, port {port}"
                if not allowed(policies, "ingress", server, client, port):
                    yield f"{server.name}: no policy lets {client.name} in, port {port}"
    for service_name in {backend(path) for item in stack.of("Ingress") for rule in item["spec"]["rules"] for path in rule["http"]["paths"]}:
        service = stack.named("Service", service_name)
        for pod in pods:
            if service and matches({"matchLabels": service["spec"]["selector"]}, pod.labels) and pod.labels.get(EDGE) != "true":
                yield f"{pod.name}: behind an Ingress, but without the label {EDGE}"
    for upstream in stack.upstreams:
        nginx = next((pod for pod in pods if pod.owner["metadata"]["name"] == "nginx"), None)
        if nginx is None:
            yield f"nginx: upstream {upstream['name']}, but there is no nginx"
            continue
        service = stack.named("Service", upstream["service"])
        if service is None or not any(port["port"] == upstream["port"] for port in service["spec"]["ports"]):
            yield f"nginx: upstream {upstream['name']}: there is no Service {upstream['service']} with port {upstream['port']}"
        if f"{CLIENT_OF}{upstream['service']}" not in nginx.labels:
            yield f"nginx: not a client of its upstream {upstream['service']} (nginx_clients_of)"
    for pod in pods:
        used = {reference["name"] for volume in pod.volumes.values() for kind, reference in _sources(volume) if kind == "secret"}
        used |= {
            variable["valueFrom"]["secretKeyRef"]["name"]
            for container in pod.containers
            for variable in container.get("env", [])
            if "secretKeyRef" in variable.get("valueFrom", {})
        }
        for store in used & {"mongodb", "object-storage", "postgresql", "redis"}:
            if pod.labels["app.kubernetes.io/component"] != store and f"{CLIENT_OF}{store}" not in pod.labels:
                yield f"{pod.name}: has the Secret of {store}, but is not its client (clients_of)"


def backend(path: Object) -> str:
    return str(path["backend"]["service"]["name"])


def allowed(policies: list[Object], direction: str, here: Pod, there: Pod, port: str | int) -> bool:
    """Whether some policy of `here` allows a connection with `there` on a port of the server."""
    peers = "from" if direction == "ingress" else "to"
    return any(
        any(set(peer) == {"podSelector"} and matches(peer["podSelector"], there.labels) for peer in rule.get(peers, []))
        and any(entry["port"] == port for entry in rule.get("ports", []))
        for policy in policies
        if matches(policy["spec"]["podSelector"], here.labels)
        for rule in policy["spec"].get(direction, [])
    )


def exposure(stack: Stack) -> Iterator[str]:
    """Nothing reaches the outside but by an Ingress, and nobody gets rights in the cluster."""
    for service in stack.of("Service"):
        if service["spec"].get("type", "ClusterIP") != "ClusterIP" or service["spec"].get("externalIPs"):
            yield f"{title(service)}: type ClusterIP expected, seen {service['spec'].get('type')}"
    for item in stack.of("ClusterRole", "ClusterRoleBinding"):
        yield f"{title(item)}: no component needs rights in the cluster"
    for item in stack.of("Role", "RoleBinding"):
        resources = API_CLIENTS.get(item["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))
        if resources is None:
            yield f"{title(item)}: this component needs no rights"
            continue
        for rule in item.get("rules", []):
            if not set(rule["resources"]) <= resources or not set(rule["verbs"]) <= {
                "get",
                "list",
                "watch",
                "create",
                "patch",
                "update",
                "delete",
            }:
                yield f"{title(item)}: rights on {', '.join(sorted(resources))} expected, seen {rule}"
            if not rule.get("resourceNames") and set(rule["verbs"]) - {"create", "list", "watch"}:
                yield f"{title(item)}: names of what may be written expected, seen {rule}"
    for ingress in stack.of("Ingress"):
        if not ingress["spec"].get("ingressClassName"):
            yield f"{title(ingress)}: ingressClassName expected"
        for name in ingress["metadata"].get("annotations", {}):
            if "snippet" in name:
                yield f"{title(ingress)}: an annotation with configuration text: {name}"


# -- gates --------------------------------------------------------------------------------------------------------------------

GATED = {
    "Deployment": "rollout",
    "StatefulSet": "rollout",
    "Job": "job",
    "PersistentVolumeClaim": "pvc",
    "HorizontalPodAutoscaler": "hpa",
    "PodDisruptionBudget": "pdb",
    "Ingress": "ingress",
}


def gates(stack: Stack) -> Iterator[str]:
    """Each object that takes time to become true has a condition, and each condition its object."""
    conditions = [condition for role in stack.gates.values() for condition in role]
    kinds = {title(item) for item in stack.objects}
    for item in stack.of(*GATED):
        kind, name = GATED[item["kind"]], item["metadata"]["name"]
        if kind == "rollout":
            held = any(condition["kind"] == "rollout" and condition["resource"] == title(item) for condition in conditions)
        else:
            held = any(condition["kind"] == kind and condition.get("name") == name for condition in conditions)
        if not held:
            yield f"{title(item)}: no gate waits for it"
    claims = {
        f"{claim['metadata']['name']}-{item['metadata']['name']}-{ordinal}": claim["metadata"].get("labels", {})
        for item in stack.of("StatefulSet")
        for claim in item["spec"].get("volumeClaimTemplates") or []
        for ordinal in range(item["spec"].get("replicas", 1))
    }
    waits = [condition for condition in conditions if condition["kind"] == "pvc"]
    for claim in claims:
        if not any(condition.get("name") == claim or counts(condition, claims, claim) for condition in waits):
            yield f"claim {claim}: no gate waits for it"
    for service in stack.of("Service"):
        # A member's own Service has addresses when its StatefulSet is rolled out.
        if (
            service["spec"].get("clusterIP") != "None"
            and not one_pod(service)
            and not any(
                condition["kind"] == "endpoints" and condition["service"] == service["metadata"]["name"] for condition in conditions
            )
        ):
            yield f"{title(service)}: no gate waits for its endpoints"
    objects = {"job": "Job", "hpa": "HorizontalPodAutoscaler", "pdb": "PodDisruptionBudget", "ingress": "Ingress"}
    for condition in conditions:
        wanted = {
            "rollout": condition.get("resource"),
            "endpoints": f"Service/{condition.get('service')}",
            "http": f"Service/{condition['service']}" if "service" in condition else f"Ingress/{condition.get('ingress')}",
            **{kind: f"{name}/{condition.get('name')}" for kind, name in objects.items()},
        }.get(condition["kind"])
        if wanted and wanted not in kinds:
            yield f"gate {condition}: there is no {wanted}"


def counts(condition: Object, claims: dict[str, dict[str, str]], claim: str) -> bool:
    """Whether a condition wants at least as many claims by their labels as there are, this one among them."""
    selector = {"matchLabels": condition.get("selector") or {"": ""}}
    return matches(selector, claims[claim]) and condition["minimum"] >= sum(matches(selector, labels) for labels in claims.values())


RULES: tuple[Rule, ...] = (
    restricted,
    read_only_root,
    resources,
    images,
    accounts,
    environment,
    probes,
    spread,
    updates,
    disruption,
    selectors,
    references,
    names,
    network,
    exposure,
    gates,
)
