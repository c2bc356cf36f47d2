#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: long_command
short_description: Run a command and show its progress while it runs
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Runs a command on the control node and shows each line of its standard output on the terminal as it comes.
    M(ansible.builtin.command) shows nothing until the command has ended.
  - A command that is silent for a while is reported as still running.
  - The command ends with Ansible, also when that is interrupted.
  - In check mode the command is not run.
options:
  argv:
    description: The program and its arguments. No shell is involved.
    type: list
    elements: str
    required: true
  stdin:
    description: What the command reads from its standard input.
    type: str
    default: ''
  environment:
    description: Environment variables of the command, beside those of Ansible itself.
    type: dict
    default: {}
  chdir:
    description: The directory that the command is run in.
    type: path
  heartbeat:
    description: Seconds of silence after which a line says that the command still runs. V(0) for never.
    type: float
    default: 20
  timeout:
    description: Seconds after which the command is ended and the task fails. V(0) for never.
    type: float
    default: 0
  prefix:
    description: What each line on the terminal begins with.
    type: str
    default: '  '
attributes:
  check_mode:
    description: The command is not run.
    support: partial
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Build | Compile everything
  stackgate.k3s.long_command:
    argv: [make, all]
    chdir: /usr/src/project
  register: result
  changed_when: result.stdout_lines[-1] != 'nothing to do'
"""

RETURN = r"""
cmd:
  description: The program and its arguments.
  returned: when it was run
  type: list
  elements: str
rc:
  description: Its exit status; negative for the signal that ended it.
  returned: when it was run
  type: int
stdout:
  description: What it wrote to standard output. Also as a list, C(stdout_lines).
  returned: when it was run
  type: str
stderr:
  description: What it wrote to standard error. Also as a list, C(stderr_lines).
  returned: when it was run
  type: str
seconds:
  description: How long it ran.
  returned: when it was run
  type: float
"""
