# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the bootstrap script that ansible-test starts in its empty environments: get_pip_stub.py DIRECTORY.

ansible-test would download it from a host of its own. This one unpacks the pip that came with Python and has it fetch the
wanted version from the package index, so that a machine which reaches nothing but its package index can run the tests.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

STUB = """\
import subprocess
import sys

# In a process of its own: ensurepip switches pip's configuration off in the one that it runs in.
subprocess.check_call([sys.executable, "-m", "ensurepip"])
options = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *options]))
"""


def main(directory: Path) -> None:
    """Write the stub under the name that this version of ansible-test looks for."""
    python = SimpleNamespace(version=".".join(platform.python_version_tuple()[:2]))
    version = get_venv_packages(python)["pip"]
    (directory / f"get_pip_{version.replace('.', '_')}.py").write_text(STUB, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
