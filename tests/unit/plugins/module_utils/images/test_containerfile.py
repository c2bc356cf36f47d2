# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build says, and what of it an error repeats."""

from __future__ import annotations

from ansible_collections.stackgate.k3s.plugins.module_utils.images.containerfile import TAIL, Steps

FAILED = """\
STEP 1/4: FROM localhost/stackgate/debian:0123456789abcdef
STEP 2/4: RUN apt-get update
noise of the step before
--> 0123456789a
STEP 3/4: RUN make    it
{lines}
make: *** [it] Error 2
subprocess exited with status 2
subprocess exited with status 2
Error: building at STEP "RUN make    it": exit status 2
"""


def steps(text: str) -> Steps:
    found = Steps()
    for line in text.splitlines():
        found.line(line)
    return found


def test_a_failure_names_the_step_its_status_and_its_last_lines() -> None:
    text = steps(FAILED.format(lines="\n".join(f"line {number}" for number in range(50)))).failure()
    lines = text.splitlines()
    assert lines[0] == "it failed at step 3/4 RUN make    it (exit status 2):"
    assert lines[-1] == "  make: *** [it] Error 2"
    assert lines[1] == "  line 31"
    assert len(lines) == 1 + TAIL
    assert "noise" not in text
    assert "building at STEP" not in text


def test_a_step_that_said_little_shows_nothing_of_the_one_before() -> None:
    assert steps(FAILED.format(lines="")).failure().splitlines()[1:] == ["  make: *** [it] Error 2"]


def test_a_build_that_never_began_says_why() -> None:
    found = steps("Error: error reading info about /x/Containerfile: no such file\n")
    assert found.failure() == "it failed at its start:\n  Error: error reading info about /x/Containerfile: no such file"


def test_steps_of_a_multi_stage_build() -> None:
    assert steps("[1/2] STEP 2/3: RUN a\n[2/2] STEP 1/5: FROM b\n").current == "step 1/5 FROM b"


def test_phases_of_the_bootstrap() -> None:
    found = Steps()
    found.begin("bootstrap of the base system")
    for line in ("I: automatically chosen mode: root", "I: extracting archives...", "E: apt-get update failed"):
        found.line(line)
    assert found.current == "extracting archives"
    assert found.failure().splitlines()[-1] == "  E: apt-get update failed"


def test_progress_is_one_line() -> None:
    found = steps("STEP 1/1: RUN " + "x" * 200)
    assert len(found.short()) == 100
    assert found.short().endswith("...")
    assert steps("STEP 1/1: RUN a     b").short() == "step 1/1 RUN a b"
