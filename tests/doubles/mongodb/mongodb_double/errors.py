# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member answers when it refuses."""

from __future__ import annotations

from typing import Any

# Names of the codes that the recordings and their neighbourhood use.
CODE_NAMES = {
    1: "InternalError",
    2: "BadValue",
    4: "NoSuchKey",
    9: "FailedToParse",
    11: "UserNotFound",
    13: "Unauthorized",
    14: "TypeMismatch",
    17: "ProtocolError",
    18: "AuthenticationFailed",
    20: "IllegalOperation",
    23: "AlreadyInitialized",
    26: "NamespaceNotFound",
    31: "RoleNotFound",
    43: "CursorNotFound",
    48: "NamespaceExists",
    50: "MaxTimeMSExpired",
    59: "CommandNotFound",
    60: "DatabaseNotFound",
    64: "WriteConcernFailed",
    72: "InvalidOptions",
    73: "InvalidNamespace",
    74: "NodeNotFound",
    76: "NoReplicationEnabled",
    79: "UnknownReplWriteConcern",
    91: "ShutdownInProgress",
    93: "InvalidReplicaSetConfig",
    94: "NotYetInitialized",
    95: "NotSecondary",
    96: "OperationFailed",
    100: "UnsatisfiableWriteConcern",
    103: "NewReplicaSetConfigurationIncompatible",
    104: "NodeNotElectable",
    109: "ConfigurationInProgress",
    117: "ConflictingOperationInProgress",
    123: "NotAReplicaSet",
    125: "CommandFailed",
    189: "PrimarySteppedDown",
    205: "ClusterTimeFailsRateLimiter",
    258: "UnknownFeatureCompatibilityVersion",
    262: "ExceededTimeLimit",
    308: "CurrentConfigNotCommittedYet",
    352: "UnsupportedOpQueryCommand",
    10107: "NotWritablePrimary",
    11000: "DuplicateKey",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
    40414: "Location40414",
    40415: "Location40415",
}
# Errors that tell where the member stands carry its topologyVersion.
STATE_CHANGE_CODES = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})


def code_name(code: int) -> str:
    return CODE_NAMES.get(code, f"Location{code}")


class CommandError(Exception):
    """A command is refused. `extra` holds fields that the reply has besides ok, errmsg, code and codeName."""

    def __init__(self, code: int | None, errmsg: str, extra: dict[str, Any] | None = None, name: str | None = None) -> None:
        super().__init__(f"{code}: {errmsg}")
        self.code = code
        self.code_name = None if code is None else (name or code_name(code))
        self.errmsg = errmsg
        self.extra = extra or {}

    def reply(self) -> dict[str, Any]:
        """The reply; two errors of the server have no code (recorded: 04d, 11)."""
        leading = {key: value for key, value in self.extra.items() if key == "topologyVersion"}
        trailing = {key: value for key, value in self.extra.items() if key != "topologyVersion"}
        code = {} if self.code is None else {"code": self.code, "codeName": self.code_name}
        return {**leading, "ok": 0.0, "errmsg": self.errmsg, **code, **trailing}


class ConnectionDropped(Exception):
    """The connection ends without an answer: a partition on order, or the end of the process."""
