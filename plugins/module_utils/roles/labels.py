# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of pods and the selectors that find them: the only place that knows their names.

Components meet through labels, too: a pod that may connect to redis carries `stackgate.k3s/client-of-redis`, and the
NetworkPolicies of the redis role open both ends for it. Neither side names the other's role.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

KUBERNETES = "app.kubernetes.io"
OWN = "stackgate.k3s"
YES = "true"


def selector(name: str, instance: str) -> dict[str, str]:
    """What selects the pods of one workload. A Deployment's selector is immutable: this must never change."""
    if not name or not instance:
        raise StackgateError("a selector has a name and an instance", f"name {name!r}, instance {instance!r}")
    return {f"{KUBERNETES}/name": name, f"{KUBERNETES}/instance": instance}


def client_of(component: str) -> dict[str, str]:
    """What a pod carries to be allowed to connect to a component."""
    return {f"{OWN}/client-of-{component}": YES}


def pod_labels(name: str, instance: str, component: str = "", clients_of: Iterable[str] = (), edge: bool = False) -> dict[str, str]:
    """All labels of a pod.

    component:  the role that builds it, when it is not the pod's own name.
    clients_of: the components that it connects to.
    edge:       whether the ingress controller may connect to it.
    """
    if isinstance(clients_of, str):
        raise StackgateError("clients_of is a list of component names", f"the text {clients_of!r}", f"write [{clients_of}]")
    labels = {**selector(name, instance), f"{KUBERNETES}/component": component or name, f"{KUBERNETES}/managed-by": "stackgate"}
    for server in clients_of:
        labels.update(client_of(server))
    if edge:
        labels[f"{OWN}/edge"] = YES
    return labels
