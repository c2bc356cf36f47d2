# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command answers when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CommandError(Exception):
    """A command's failure, as the server words it.

    code and code_name are None where the server sends none (recorded: 04d "no configuration specified").
    first stands before `ok` in the reply (topologyVersion of a not-primary error), extra behind the code.
    """

    def __init__(
        self,
        code: int | None,
        code_name: str | None,
        errmsg: str,
        extra: Mapping[str, Any] | None = None,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(errmsg)
        self.code = code
        self.code_name = code_name
        self.errmsg = errmsg
        self.extra = dict(extra or {})
        self.first = dict(first or {})

    def document(self) -> dict[str, Any]:
        """The reply."""
        reply: dict[str, Any] = {**self.first, "ok": 0.0, "errmsg": self.errmsg}
        if self.code is not None:
            reply["code"] = self.code
        if self.code_name is not None:
            reply["codeName"] = self.code_name
        return {**reply, **self.extra}
