# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command's lines are shown as they come."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.live_command import run_live


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def test_lines_arrive_while_it_runs():
    seen = []
    run_live(python("import time; print('one'); time.sleep(0.6); print('two')"), lambda line: seen.append((time.monotonic(), line)))
    assert [line for _when, line in seen] == ["one", "two"]
    assert seen[1][0] - seen[0][0] > 0.4


def test_output_is_kept_apart_and_the_status_told():
    shown = []
    outcome = run_live(python("import sys; print('out'); print('bad', file=sys.stderr); sys.exit(3)"), shown.append)
    assert (outcome.rc, outcome.stdout, outcome.stderr, shown) == (3, ["out"], ["bad"], ["out"])


def test_a_last_line_without_an_end_and_bytes_that_are_no_text():
    outcome = run_live(python(r"import sys; sys.stdout.buffer.write(b'a\r\n\xff')"), lambda line: None)
    assert outcome.stdout == ["a", "\ufffd"]


def test_standard_input_larger_than_a_pipe():
    text = "x" * 300_000
    outcome = run_live(python("import sys; print(len(sys.stdin.read()))"), lambda line: None, stdin=text)
    assert outcome.stdout == ["300000"]


def test_a_command_that_reads_nothing():
    assert run_live(python("pass"), lambda line: None, stdin="x" * 300_000).rc == 0


def test_environment_and_directory(tmp_path):
    code = "import os; print(os.environ['COLOUR'], os.getcwd())"
    outcome = run_live(python(code), lambda line: None, environment={"COLOUR": "red"}, chdir=str(tmp_path))
    assert outcome.stdout == [f"red {tmp_path}"]


def test_silence_is_reported():
    shown = []
    run_live(python("import time; time.sleep(1.3)"), shown.append, heartbeat=0.4)
    assert shown and all(line.startswith("still running after") for line in shown)


def test_too_long_ends_it():
    outcome = run_live(python("import time; time.sleep(60)"), lambda line: None, timeout=0.3)
    assert outcome.timed_out and outcome.rc == -signal.SIGTERM and outcome.seconds < 5


def test_an_error_while_showing_ends_the_command():
    def fail(line):
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_live(python("import time; print('x'); time.sleep(60)"), fail)
    assert time.monotonic() - start < 5


def test_a_program_that_is_not_there():
    with pytest.raises(OSError):
        run_live(["/no/such/program"], lambda line: None)
