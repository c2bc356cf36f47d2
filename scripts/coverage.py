# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ids of tests/acceptance/requirements.yml the last test runs proved: coverage.py [--only PREFIX] [--fail-below PERCENT]

An id is proved when at least one test marked with it passed and none failed. Read from the JUnit reports in tests/output/junit,
one per suite, each from the last run of that suite.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


@dataclass
class Evidence:
    """What the tests marked with one id came to: names of tests by outcome."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def proved(self) -> bool:
        return bool(self.passed) and not self.failed

    @property
    def word(self) -> str:
        if self.failed:
            return f"FAILED   {self.failed[0]}"
        if self.passed:
            return f"proved   {self.passed[0]}" + (f" and {len(self.passed) - 1} more" if len(self.passed) > 1 else "")
        if self.skipped:
            return f"skipped  {self.skipped[0]}"
        return "no test"


def requirements(path: Path) -> dict[str, str]:
    """Text by id, in the file's order."""
    return dict(re.findall(r'^([A-Z0-9]+-[FL]\d\d): "(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE))


def evidence(reports: list[Path]) -> dict[str, Evidence]:
    """What each id's tests came to, over all reports."""
    found: dict[str, Evidence] = defaultdict(Evidence)
    for report in reports:
        for case in ET.parse(report).iter("testcase"):
            ids = [p.get("value", "") for p in case.iter("property") if p.get("name") == "covers"]
            name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
            for one in " ".join(ids).split():
                if case.find("failure") is not None or case.find("error") is not None:
                    found[one].failed.append(name)
                elif case.find("skipped") is not None:
                    found[one].skipped.append(name)
                else:
                    found[one].passed.append(name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="PREFIX", help="ids that begin with this, such as WE")
    parser.add_argument("--fail-below", type=float, default=0.0, metavar="PERCENT", help="end with status 1 when less is proved")
    options = parser.parse_args()

    reports = sorted((PROJECT / "tests/output/junit").glob("*.xml"))
    found = evidence(reports)
    wanted = {
        one: text for one, text in requirements(PROJECT / "tests/acceptance/requirements.yml").items() if one.startswith(options.only)
    }
    if not wanted:
        print(f"expected: a prefix of an id, such as WE or WE-L; seen: {options.only}", file=sys.stderr)
        return 2

    for report in reports:
        age = datetime.datetime.fromtimestamp(report.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        print(f"read {report.name}, of {age}")
    if not reports:
        print("no report in tests/output/junit: run `make test` or `make acceptance` first")

    for one, text in wanted.items():
        state = found[one].word if one in found else "no test"
        print(f"  {one:8} {state:60}  {text}")

    print()
    for group in dict.fromkeys(one.split("-")[0] for one in wanted):
        members = [one for one in wanted if one.startswith(f"{group}-")]
        proved = [one for one in members if one in found and found[one].proved]
        print(f"{group:4} {len(proved):3} of {len(members):3} proved")
    proved_all = sum(1 for one in wanted if one in found and found[one].proved)
    share = 100.0 * proved_all / len(wanted)
    print(f"all  {proved_all:3} of {len(wanted):3} proved ({share:.0f} %)")
    return 1 if share < options.fail_below else 0


if __name__ == "__main__":
    sys.exit(main())
