# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task: what it shows, what it returns, how it fails."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from ansible_collections.stackgate.k3s.plugins.action.long_command import ActionModule
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(ActionModule, "say", lambda self, text: lines.append(text))
    return lines


def run(code, check=False, no_log=False, **options):
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(check_mode=check, no_log=no_log, diff=False)
    given = {
        "argv": [sys.executable, "-c", code],
        "stdin": "",
        "environment": {},
        "chdir": None,
        "heartbeat": 0,
        "timeout": 0,
        "prefix": "  ",
    }
    return action.execute({**given, **options}, {})


def test_success(shown):
    result = run("print('step'); print('changed')")
    assert shown == ["  step", "  changed"]
    assert result["changed"] and result["rc"] == 0 and result["stdout_lines"] == ["step", "changed"]


def test_failure_tells_the_last_words(shown):
    result = run("import sys; sys.exit('no room')")
    assert result["failed"] and "exit status 1: no room" in result["msg"]


def test_failure_in_our_own_words_is_passed_on(shown):
    result = run("import sys; sys.exit('expected: a\\nseen: b')")
    assert result["msg"] == "expected: a\nseen: b"


def test_a_signal_is_named(shown):
    assert "ended by signal 9" in run("import os; os.kill(os.getpid(), 9)")["msg"]


def test_too_long(shown):
    result = run("import time; time.sleep(60)", timeout=0.2)
    assert result["failed"] and "ends within 0 s" in result["msg"]


def test_check_mode_runs_nothing(shown, tmp_path):
    result = run(f"open({str(tmp_path / 'x')!r}, 'w')", check=True)
    assert result["skipped"] and not result["changed"] and not (tmp_path / "x").exists()


def test_no_log_shows_nothing(shown):
    run("print('secret')", no_log=True)
    assert shown == []


def test_a_program_that_is_not_there(shown):
    with pytest.raises(StackgateError, match="can be started"):
        run("", argv=["/no/such/program"])
