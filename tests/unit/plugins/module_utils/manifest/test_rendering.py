# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of a template's error is found."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import rendering


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: {{ nosuch }}\n", [2]),
        ("a: 1\nb: {{ thing.nosuch }}\n", [2]),
        ("a: 1\n{% if %}\nb: 2\n", [2]),
        ("a: {{ 'x' | from_json }}\n", [1]),
        ("a: {{ nosuch }}\nb: {{ nosuch }}\n", [1, 2]),
    ],
)
def test_the_line_is_named(text, lines):
    templar = Templar(loader=DataLoader(), variables={"thing": {}})
    with pytest.raises(AnsibleError) as caught:
        templar.template(trust_as_template(text))
    assert rendering.error_lines(caught.value, text) == lines
    message = str(rendering.template_error(caught.value, "roles/web/templates/web.yml.j2", text))
    assert f"roles/web/templates/web.yml.j2:{lines[0]}: " in message
