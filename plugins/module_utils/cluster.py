# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one Kubernetes client of the collection.

Connection, authentication and discovery are those of kubernetes.core; this class adds what its callers share:
plain dictionaries instead of resource objects, server-side apply, logs, and sockets into pods.
Every method may raise ApiError (the server refused) or StackgateError (the server could not be asked).
"""

from __future__ import annotations

import difflib
import email.utils
import functools
import json
import multiprocessing.util
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from ansible_collections.stackgate.k3s.plugins.module_utils import portforward
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

FIELD_MANAGER = "stackgate"
# Seconds for one request: an API server that needs longer is not in a state to be deployed to.
REQUEST_TIMEOUT = 30.0


class ApiError(StackgateError):
    """The API server answered, and refused.

    status:  HTTP status code.
    reason:  the server's machine-readable word (NotFound, Forbidden, Invalid, Conflict, ...).
    message: the server's sentence.
    causes:  the server's list of {field, message, reason}, empty when it gave none.
    """

    def __init__(self, doing: str, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.reason = str(body.get("reason") or "")
        self.message = str(body.get("message") or f"HTTP {status}")
        self.causes: list[dict[str, Any]] = list((body.get("details") or {}).get("causes") or [])
        super().__init__(f"the API server accepts: {doing}", f"{status} {self.reason}: {self.message}")

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status == 403


class Cluster:
    """A connection to one Kubernetes API server.

    options: the connection options of kubernetes.core (kubeconfig, context, host, api_key, ...); unset ones fall back
             to the K8S_AUTH_* environment, then to the default kubeconfig.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

        where = options.get("kubeconfig") or "the default kubeconfig"
        try:
            self._k8s = get_api_client(**{k: v for k, v in options.items() if v not in (None, "")})
        except CoreException as error:
            raise StackgateError(
                f"{where} gives a connection to a Kubernetes API server",
                str(error),
                "check the variables stackgate_kubeconfig and stackgate_context, and that the cluster runs",
            ) from error
        _forget_credentials_at_the_end()
        self._api = self._k8s.client.client  # kubernetes.client.ApiClient
        self._resources: dict[tuple[str, str], Any] = {}
        self.warnings: list[str] = []
        # Seconds by which the server's clock is ahead of ours, to a second; timestamps in objects are compared with it.
        self.clock_offset = 0.0

    @property
    def address(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    # -- objects -------------------------------------------------------------------------------------------------

    def resource(self, api_version: str, kind: str) -> Any:
        """The API resource of a kind: attributes `name` (plural), `namespaced`, `group`. StackgateError if unknown.

        Asked once per kind. The first question is not safe among threads (discovery fills a cache), later ones are.
        """
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
        from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError, ResourceNotUniqueError

        known = self._resources.get((api_version, kind))
        if known is not None:
            return known
        try:
            found = self._k8s.resource(kind, api_version)
        except (CoreException, DynamicApiError, ResourceNotFoundError, ResourceNotUniqueError) as error:
            raise StackgateError(
                f"the cluster serves {api_version} {kind}",
                f"it does not know {api_version} {kind}{self._similar(api_version, kind)}",
                "check apiVersion and kind, and that the CustomResourceDefinition is installed",
            ) from error
        # kubernetes.core also takes plurals, short names, and v1 for any group's v1; the server does not.
        if (found.kind, found.group_version) != (kind, api_version):
            meant = f"did you mean {found.group_version} {found.kind}?"
            raise StackgateError(
                f"the cluster serves {api_version} {kind}", f"it does not know {api_version} {kind}; {meant}", "check apiVersion and kind"
            )
        self._resources[(api_version, kind)] = found
        return found

    def preferred(self, group: str, kind: str) -> str | None:
        """The apiVersion under which the cluster prefers to serve a kind of a group; None when it serves none."""
        if not group:
            return "v1"
        from kubernetes.dynamic.exceptions import DynamicApiError, ResourceNotFoundError

        try:
            found = self._k8s.client.resources.search(group=group, kind=kind)
        except (DynamicApiError, ResourceNotFoundError):
            return None
        versions = sorted(found, key=lambda item: not getattr(item, "preferred", False))
        return str(versions[0].group_version) if versions else None

    def _kinds(self) -> list[tuple[str, str]]:
        """Every (apiVersion, kind) that the cluster serves; of each group the preferred version first."""
        found: dict[tuple[str, str], bool] = {}
        for resources in self._k8s.client.resources:
            for resource in resources:
                if not resource.kind.endswith("List"):
                    found[(resource.group_version, resource.kind)] = bool(getattr(resource, "preferred", False))
        return sorted(found, key=lambda item: (not found[item], item))

    def _similar(self, api_version: str, kind: str) -> str:
        """ "; did you mean ...?" for an unknown kind: the same kind elsewhere, or one spelt alike."""
        try:
            kinds = self._kinds()
        except Exception:  # a suggestion is not worth a second error
            return ""
        same = [f"{version} {name}" for version, name in kinds if name.lower() == kind.lower()]
        alike = difflib.get_close_matches(f"{api_version} {kind}", [f"{version} {name}" for version, name in kinds], n=2, cutoff=0.7)
        near = same or alike
        return f"; did you mean {' or '.join(near)}?" if near else ""

    def path(self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """URL path of a collection (no name) or of one object."""
        resource = self.resource(api_version, kind)
        prefix = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        scope = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
        return f"{prefix}{scope}/{resource.name}" + (f"/{name}" if name else "")

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = REQUEST_TIMEOUT,
        parse: bool = True,
    ) -> Any:
        """One request; the answer parsed when it is JSON, else (or with parse=False) its text.

        Warning headers are kept in `warnings`, each with its object.
        """
        import urllib3

        doing = f"{method} {path}"
        headers = {"Accept": "application/json", **self._headers()}
        if body is not None:
            headers["Content-Type"] = content_type
        text = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in (query or {}).items()}
        url = self.address + path + (f"?{urlencode(text)}" if text else "")
        try:
            answer = self._api.rest_client.pool_manager.request(
                method, url, headers=headers, body=None if body is None else json.dumps(body), timeout=timeout, retries=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StackgateError(
                f"the API server at {self.address} answers", root_cause(error), "check that the cluster runs and can be reached from here"
            ) from error
        if not 200 <= answer.status < 300:
            raise ApiError(doing, answer.status, _status_body(answer.data))
        for warning in answer.headers.getlist("Warning"):
            text = warning.split('"', 1)[1].rsplit('"', 1)[0].replace('\\"', '"') if '"' in warning else warning
            self.warnings.append(f"{'/'.join(path.rsplit('/', 2)[1:])}: {text}")
        self._read_clock(answer.headers.get("Date"))
        data: bytes = answer.data or b""
        try:
            return json.loads(data) if parse else data.decode(errors="replace")
        except ValueError:
            return data.decode(errors="replace")

    def _headers(self) -> dict[str, str]:
        """The headers that say who asks; made anew each time, since exec plugins renew their tokens."""
        auth = self._api.configuration.auth_settings().values()
        return {
            **self._api.default_headers,
            **{setting["key"]: setting["value"] for setting in auth if setting["in"] == "header" and setting["value"]},
        }

    def _read_clock(self, date: str | None) -> None:
        if date:
            offset = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
            # The header has whole seconds, cut off: less than that is no difference.
            self.clock_offset = 0.0 if -2.0 < offset < 1.0 else offset

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """One object, or None when there is none."""
        try:
            found: dict[str, Any] = self.request("GET", self.path(api_version, kind, namespace, name))
            return found
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, labels: str = "", fields: str = "", cached: bool = False
    ) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace (or everywhere), narrowed by a label and a field selector.

        cached: take what the server has at hand, which may be a moment old. Otherwise the server first makes sure that it has
        seen every write, of any kind; after a recent one that takes up to a second where the store is kine, as in k3s.
        """
        query = {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields), ("resourceVersion", "0" if cached else "")) if v}
        items = self.request("GET", self.path(api_version, kind, namespace), query=query).get("items") or []
        for item in items:  # the server leaves these out of list items
            item.setdefault("apiVersion", api_version)
            item.setdefault("kind", kind)
        return list(items)

    def apply(self, document: Mapping[str, Any], *, dry_run: bool = False, force: bool = True) -> dict[str, Any]:
        """Server-side apply of one object, as the field manager `stackgate`. A field that the kind does not have is refused."""
        meta = document["metadata"]
        query: dict[str, Any] = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": force}
        if dry_run:
            query["dryRun"] = "All"
        path = self.path(document["apiVersion"], document["kind"], meta.get("namespace"), meta["name"])
        applied: dict[str, Any] = self.request("PATCH", path, query=query, body=dict(document), content_type="application/apply-patch+yaml")
        return applied

    def create(self, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create one object; ApiError with reason AlreadyExists when it is there."""
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        path = self.path(document["apiVersion"], document["kind"], document["metadata"].get("namespace"))
        created: dict[str, Any] = self.request("POST", path, query=query, body=dict(document))
        return created

    def replace(self, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Replace one object; with metadata.resourceVersion a compare-and-swap (ApiError reason Conflict)."""
        meta = document["metadata"]
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        path = self.path(document["apiVersion"], document["kind"], meta.get("namespace"), meta["name"])
        replaced: dict[str, Any] = self.request("PUT", path, query=query, body=dict(document))
        return replaced

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        propagation: str = "Background",
        uid: str = "",
    ) -> bool:
        """Delete one object; False when there was none. With uid only that very object, not a successor of the same name."""
        # The server reads the options from the body or from the query, never from both.
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if dry_run:
            options["dryRun"] = ["All"]
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", self.path(api_version, kind, namespace, name), body=options)
            return True
        except ApiError as error:
            if error.not_found or (uid and error.status == 409 and "Precondition failed" in error.message):
                return False
            raise

    # -- questions -----------------------------------------------------------------------------------------------

    def version(self) -> str:
        """The server's version, as `v1.35.4`."""
        return str(self.request("GET", "/version", timeout=10.0)["gitVersion"])

    def may(self, verb: str, group: str, resource: str, namespace: str | None = None, name: str = "", subresource: str = "") -> bool:
        """Whether this identity has a right (SelfSubjectAccessReview)."""
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name}
        if namespace:
            attributes["namespace"] = namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        }
        answer = self.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer.get("status", {}).get("allowed"))

    def logs(self, pod: str, namespace: str, container: str, *, lines: int = 50, previous: bool = False) -> str:
        """The last lines of a container's log; empty when the kubelet has none."""
        query = {"container": container, "tailLines": lines, "previous": previous}
        try:
            return str(self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", query=query, timeout=10.0, parse=False))
        except StackgateError:
            return ""

    # -- sockets -------------------------------------------------------------------------------------------------

    def connect_pod(self, pod: str, namespace: str, port: int, timeout: float = REQUEST_TIMEOUT) -> portforward.PodSocket:
        """A socket to a port of a pod, through the API server's port-forward; may be called from threads.

        Works from anywhere the API server can be reached; in the pod the connection comes from 127.0.0.1.
        timeout: seconds for connecting, and afterwards for each read and write.
        """
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        return portforward.connect(self._api.configuration, self._headers(), path, port, timeout)

    def execute(self, pod: str, namespace: str, container: str, command: Sequence[str], timeout: float = REQUEST_TIMEOUT) -> str:
        """Run a command in a container, and return what it printed. Not for several threads at once.

        timeout: seconds for all of it. Raises StackgateError when it cannot be run, fails, or takes too long.
        """
        from kubernetes.client import CoreV1Api
        from kubernetes.client.exceptions import ApiException
        from kubernetes.stream import stream

        expected = f"`{command[0]}` runs in container {container} of pod {pod}"
        call = CoreV1Api(self._api).connect_get_namespaced_pod_exec
        options = {"container": container, "command": list(command), "stdout": True, "stderr": True}
        try:
            running = stream(call, pod, namespace, **options, _preload_content=False)
        except ApiException as error:  # the server's words are at the end of what the websocket library says
            raise StackgateError(expected, _status_body(str(error.reason).rpartition(" -+-+- ")[2])["message"]) from error
        running.run_forever(timeout=timeout)
        if running.is_open():
            running.close()
            raise StackgateError(expected, "it does not end", waited=timeout)
        printed, complaint, ended = (str(running.read_channel(channel)) for channel in (1, 2, 3))
        status = _status_body(ended or '{"message": "its container ended"}')
        if status.get("status") != "Success":
            raise StackgateError(expected, complaint.strip() or str(status.get("message")))
        return printed


@functools.cache
def _forget_credentials_at_the_end() -> None:
    """Have this process, when it ends, delete the files that the client library wrote a kubeconfig's certificates and keys to.

    The library does so itself at the end of Python, which Ansible's workers do not reach: they are processes of multiprocessing.
    """
    from kubernetes.config import kube_config

    multiprocessing.util.Finalize(None, kube_config._cleanup_temp_files, exitpriority=0)  # pylint: disable=protected-access


def _status_body(body: Any) -> dict[str, Any]:
    """The server's Status object, or one made of its text."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    try:
        parsed = json.loads(body or "{}")
        return parsed if isinstance(parsed, dict) else {"message": str(body)}
    except ValueError:
        return {"message": str(body).strip()}


def root_cause(error: BaseException) -> str:
    """The innermost reason of a wrapped connection error, which is the one that helps."""
    reason: Any = getattr(error, "reason", None)
    while isinstance(reason, BaseException) and getattr(reason, "reason", None):
        reason = getattr(reason, "reason", None)
    # urllib3 begins with the connection object: "HTTPSConnection(host=..., port=...): Failed to establish ..."
    return str(reason or error).rpartition("): ")[2]
