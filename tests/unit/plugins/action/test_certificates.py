# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks generated_certificate and certificate_info: options in, Secrets and results out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.action import certificate_info, generated_certificate
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.secrets.test_store import FakeCluster

ACTIONS: dict[str, Any] = {"generated_certificate": generated_certificate, "certificate_info": certificate_info}
MAKE = {"name": "db-tls", "authority": "db-authority", "namespace": "shop", "component": "db", "names": ["db", "127.0.0.1"]}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def cluster() -> Any:
    return FakeCluster()  # type: ignore[no-untyped-call]


@pytest.fixture
def run(cluster: Any) -> Run:
    """Call an action as ansible does: run(module, check=False, diff=False, **options)."""

    def task(module: str, /, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        made = object.__new__(ACTIONS[module].ActionModule)
        made._task = SimpleNamespace(check_mode=check, diff=diff)
        made.cluster = lambda: cluster
        validated = ArgumentSpecValidator(documented_spec(module)[0]).validate(options)
        assert not validated.error_messages
        return made.execute(validated.validated_parameters, {"inventory_hostname": "shop"})  # type: ignore[no-any-return]

    return task


def test_made_once_and_foretold(run: Run, cluster: Any) -> None:
    foretold = run("generated_certificate", check=True, diff=True, **MAKE)
    assert (foretold["changed"], cluster.secrets) == (True, {})
    done = run("generated_certificate", diff=True, **MAKE)
    assert (done["changed"], done["keys"]) == (True, foretold["keys"])
    assert sorted(cluster.secrets) == ["db-authority", "db-tls"]
    assert {secret["type"] for secret in cluster.secrets.values()} == {"kubernetes.io/tls"}
    assert "ca.crt" in cluster.secrets["db-tls"]["data"] and cluster.secrets["db-tls"]["metadata"]["labels"]
    for secret in cluster.secrets.values():
        assert secret["data"]["tls.key"] not in repr(done) and base64.b64decode(secret["data"]["tls.key"]).decode() not in repr(done)
    before = cluster.writes
    again = run("generated_certificate", diff=True, **MAKE)
    assert (again["changed"], again.get("diff"), cluster.writes) == (False, [], before)


def test_a_lost_certificate_is_of_the_same_authority(run: Run, cluster: Any) -> None:
    run("generated_certificate", **MAKE)
    kept = cluster.secrets["db-authority"]["data"]
    del cluster.secrets["db-tls"]
    assert run("generated_certificate", **MAKE)["changed"]
    assert cluster.secrets["db-authority"]["data"] == kept
    assert cluster.secrets["db-tls"]["data"]["ca.crt"] == kept["tls.crt"]


def test_what_is_made_is_found_in_order(run: Run, cluster: Any) -> None:
    run("generated_certificate", **MAKE)
    found = run("certificate_info", name="db-tls", namespace="shop", names=["db"])
    assert found["certificate"]["names"] == ["db", "127.0.0.1"]
    assert "warnings" not in found
    assert "ends on" in run("certificate_info", name="db-tls", namespace="shop", warn_days=2000)["warnings"][0]


def test_a_secret_that_is_missing_or_of_others(run: Run, cluster: Any) -> None:
    with pytest.raises(StackgateError, match="the Secret db-tls in namespace shop\\nseen: there is none"):
        run("certificate_info", name="db-tls", namespace="shop")
    run("generated_certificate", **MAKE)
    with pytest.raises(StackgateError, match="the certificate is not for redis; it is for db, "):
        run("certificate_info", name="db-tls", namespace="shop", names=["db", "redis"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": []}, "names that the certificate is for"),
        ({"renew_days": 2000}, "renew_days 2000, days 1095"),
        ({"days": 9000}, "days 9000"),
    ],
)
def test_terms_that_cannot_be(run: Run, cluster: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(StackgateError, match=words):
        run("generated_certificate", **{**MAKE, **change})
    assert cluster.secrets == {}
