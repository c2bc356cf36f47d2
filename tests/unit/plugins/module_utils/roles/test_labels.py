# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels: what selects must be contained in what is carried."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.labels import client_of, pod_labels, selector


def test_a_selector_finds_its_pods():
    labels = pod_labels("web", "shop", "workload", ["redis"], edge=True)
    assert selector("web", "shop").items() <= labels.items()


def test_every_connection_is_a_label():
    labels = pod_labels("web", "shop", clients_of=["redis", "postgresql"])
    assert {**client_of("redis"), **client_of("postgresql")}.items() <= labels.items()
    assert "stackgate.k3s/edge" not in labels


def test_the_selector_of_a_workload_never_changes():
    """It is immutable on the server: other labels here would break every instance that exists."""
    assert selector("web", "shop") == {"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "shop"}


@pytest.mark.parametrize(("name", "instance"), [("", "shop"), ("web", "")])
def test_an_empty_selector_is_refused(name, instance):
    """It would select the pods of everybody."""
    with pytest.raises(StackgateError):
        selector(name, instance)


def test_one_component_is_not_a_list():
    with pytest.raises(StackgateError, match=r"write \[redis\]"):
        pod_labels("web", "shop", clients_of="redis")
