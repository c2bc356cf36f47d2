# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums of Secrets, and the three readers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.stackgate.k3s.plugins.action import api_info, secret_info, service_info
from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.secrets import checksum

SECRET = {"metadata": {"uid": "u-1", "resourceVersion": "1"}, "data": {"a": "MQ==", "b": "Mg=="}}


def test_a_checksum_follows_the_data_only():
    before = checksum(SECRET)
    assert checksum({"metadata": {"uid": "u-1", "resourceVersion": "2", "labels": {}}, "data": {"b": "Mg==", "a": "MQ=="}}) == before
    assert checksum({**SECRET, "data": {"a": "MQ==", "b": "Mw=="}}) != before
    assert checksum({**SECRET, "data": {"a": "MQ=="}}) != before


def test_a_checksum_cannot_be_guessed_from_the_data():
    assert checksum({**SECRET, "metadata": {"uid": "u-2"}}) != checksum(SECRET)


def action(module, cluster):
    made = module.ActionModule.__new__(module.ActionModule)
    made.cluster = lambda: cluster
    return made


def test_secret_info_tells_no_value():
    cluster = SimpleNamespace(get=lambda _api, _kind, name, _namespace: SECRET if name == "app" else None)
    result = action(secret_info, cluster).execute({"names": ["app", "none", "app"], "namespace": "shop"}, {})
    assert result == {"changed": False, "checksums": {"app": checksum(SECRET), "none": ""}, "missing": ["none"]}
    assert "MQ==" not in str(result)


def test_secret_info_of_nothing_needs_no_cluster():
    assert action(secret_info, None).execute({"names": [], "namespace": "shop"}, {})["checksums"] == {}


def test_service_info_tells_the_addresses_that_there_are():
    services = {"redis": {"spec": {"clusterIP": "10.43.0.5"}}, "members": {"spec": {"clusterIP": "None"}}, "outside": {"spec": {}}}
    cluster = SimpleNamespace(get=lambda _api, _kind, name, _namespace: services.get(name))
    result = action(service_info, cluster).execute({"names": [*services, "none"], "namespace": "shop"}, {})
    assert result == {"changed": False, "addresses": {"redis": "10.43.0.5"}}
    assert action(service_info, None).execute({"names": [], "namespace": "shop"}, {})["addresses"] == {}


class Discovery:
    def request(self, method, path):
        if path == "/apis/traefik.io/v1alpha1":
            return {"resources": [{"kind": "Middleware"}, {"kind": "IngressRoute"}]}
        if path == "/api/v1":
            return {"resources": [{"kind": "Service"}]}
        status = 500 if "broken" in path else 404
        raise ApiError(path, status, {"reason": "NotFound", "message": "no"})


def test_api_info_tells_what_is_served():
    asked = ["traefik.io/v1alpha1/Middleware", "traefik.io/v1alpha1/Other", "v1/Service", "example.test/v1/Thing"]
    result = action(api_info, Discovery()).execute({"kinds": asked}, {})
    assert result["served"] == ["traefik.io/v1alpha1/Middleware", "v1/Service"]


def test_api_info_refuses_what_is_no_kind():
    with pytest.raises(StackgateError, match="Middleware"):
        action(api_info, Discovery()).execute({"kinds": ["Middleware"]}, {})


def test_api_info_does_not_take_trouble_for_an_answer():
    with pytest.raises(ApiError):
        action(api_info, Discovery()).execute({"kinds": ["broken/v1/Thing"]}, {})
