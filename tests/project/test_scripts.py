# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts behind the Makefile's targets."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """scripts/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, PROJECT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_pip_config_prefers_the_environment_and_keeps_several_lines() -> None:
    listing = (
        ":env:.cert='/etc/ssl/one.pem'\n:env:.config-file='/tmp/x'\nglobal.cert='/etc/ssl/two.pem'\n"
        "global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'\ninstall.find-links='/opt/wheels'\n"
    )
    assert load("pip_config").to_ini(listing) == (
        "[global]\nextra-index-url = https://a.example/simple\n    https://b.example/simple\ncert = /etc/ssl/one.pem\n"
        "[install]\nfind-links = /opt/wheels\n"
    )


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="passes"><properties><property name="covers" value="WE-F01 WE-F02"/></properties></testcase>
<testcase classname="tests.a" name="fails"><properties><property name="covers" value="WE-F02"/></properties><failure/></testcase>
<testcase classname="tests.a" name="skips"><properties><property name="covers" value="WE-F03"/></properties><skipped/></testcase>
</testsuite></testsuites>"""


def test_coverage_counts_an_id_as_proved_only_when_no_test_of_it_failed(tmp_path: Path) -> None:
    report = tmp_path / "one.xml"
    report.write_text(JUNIT)
    found = load("coverage").evidence([report])
    assert found["WE-F01"].proved
    assert not found["WE-F02"].proved and found["WE-F02"].word.startswith("FAILED")
    assert not found["WE-F03"].proved and found["WE-F03"].word.startswith("skipped")
    assert not found["WE-F04"].proved and found["WE-F04"].word == "no test"


def test_the_ids_are_complete() -> None:
    ids = load("coverage").requirements(PROJECT / "tests/acceptance/requirements.yml")
    assert len(ids) == 245
    assert all(ids.values())


def test_progress_ends_with_the_status_of_its_command_and_shows_the_end_of_a_failure() -> None:
    done = subprocess.run(
        [PROJECT / "scripts/progress.sh", "Trying", "bash", "-c", "echo what went wrong; exit 7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7
    assert "what went wrong" in done.stderr
    quiet = subprocess.run([PROJECT / "scripts/progress.sh", "Trying", "echo", "chatter"], capture_output=True, text=True, check=True)
    assert "chatter" not in quiet.stdout + quiet.stderr


def test_a_marker_with_an_unknown_id_stops_the_run(tmp_path: Path) -> None:
    test = tmp_path / "test_wrong.py"
    test.write_text("import pytest\n\n@pytest.mark.covers('WE-F99')\ndef test_it():\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", "/dev/null", test],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "WE-F99" in done.stdout + done.stderr


def test_make_alone_explains_every_target() -> None:
    shown = subprocess.run(["make", "-s"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in (
        "up",
        "cluster",
        "cluster-down",
        "node-off",
        "deploy",
        "status",
        "destroy",
        "lint",
        "sanity",
        "unit",
        "molecule",
        "test",
        "build",
    ):
        assert f"\n  {target} " in shown, target
