# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one client of object storage: S3 and the server's administration, on the library `minio`.

Raises Refused when the server answered and refused, transport.Silent when it could not be asked. No secret is in any message.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import root_cause
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import transport
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.lifecycle import Rule, from_library, to_library

if TYPE_CHECKING:
    import minio

# Seconds for connecting, and for each read and write. The server itself gives up after 10 s when drives do not answer.
TIMEOUT = 15.0
INSTALL = "install it where ansible runs: pip install minio"
# S3's and the administration's words for "there is none".
NO_LIFECYCLE = ("NoSuchLifecycleConfiguration",)
NO_LOCK = ("ObjectLockConfigurationNotFoundError",)
NO_USER = ("XMinioAdminNoSuchUser",)
NO_POLICY = ("XMinioAdminNoSuchPolicy",)
NO_QUOTA = ("XMinioAdminNoSuchQuotaConfiguration",)
# What a server answers that has just started, or that cannot reach enough others in time: another try may go well.
BUSY = (
    "RequestTimeout",
    "ServerBusy",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "XMinioBucketMetadataNotInitialized",
    "XMinioIAMNotInitialized",
    "XMinioServerNotInitialized",
)
# What a login with a wrong secret key, or of an unknown or disabled user, is answered with.
NO_LOGIN = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "XMinioInvalidAccessKey", "AccountProblem")


@dataclass(frozen=True)
class Keys:
    """A pair of S3 credentials."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """A health endpoint's answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]


class Refused(StackgateError):
    """The server answered, and refused: `code` in its own words (NoSuchBucket, AccessDenied, ...)."""

    def __init__(self, doing: str, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"the object storage accepts: {doing}", f"{code}: {message}" if message else code)

    @property
    def for_now(self) -> bool:
        """Whether another try may go well."""
        return self.code in BUSY


class Server:
    """One way to the store: a pod, or an address. host: host:port for the Host header."""

    def __init__(
        self,
        label: str,
        host: str,
        dial: transport.Dial,
        context: ssl.SSLContext | None = None,
        server_name: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        self.label, self.host, self.secure = label, host, context is not None
        self.line = transport.Line(label, dial, timeout)
        self._http = transport.manager(self.line, context, server_name)

    def ask(self, path: str) -> Answer:
        """GET without credentials. StackgateError when nobody answers."""
        with self.telling(f"GET {path}"):
            answer = self._http.request("GET", f"{'https' if self.secure else 'http'}://{self.host}{path}")
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()})

    def store(self, keys: Keys, region: str = "us-east-1") -> Store:
        """The store as seen by the owner of a pair of keys."""
        return Store(self, keys, region)

    @property
    def http(self) -> Any:
        """The pool of connections."""
        return self._http

    @contextlib.contextmanager
    def telling(self, doing: str) -> Iterator[None]:
        """Turns what the library and the network say into the collection's errors."""
        import urllib3

        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            said = _refused_port(self.line.said) or _words(error, self.line.timeout)
            raise transport.Silent(f"the object storage answers at {self.label}", f"{self.label}: {said}") from error


def _words(error: Exception, timeout: float) -> str:
    """A broken conversation in one line."""
    import urllib3

    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return f"no answer within {timeout:.0f} s"
    inner = next((part for part in error.args if isinstance(part, Exception)), error)
    return root_cause(inner) or type(inner).__name__


def _refused_port(said: str) -> str:
    return "connection refused (nothing listens on that port in the pod)" if "connection refused" in said else said


class Store:
    """Buckets, objects, users and policies, with one pair of keys."""

    def __init__(self, server: Server, keys: Keys, region: str) -> None:
        try:
            import minio
            from minio.credentials import StaticProvider
        except ImportError as error:
            raise StackgateError("the Python library minio", str(error), INSTALL) from error
        self.server, self.keys = server, keys
        self._s3: minio.Minio = minio.Minio(
            endpoint=server.host,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            secure=server.secure,
            region=region,
            http_client=server.http,
        )
        self._admin = minio.MinioAdmin(
            endpoint=server.host,
            credentials=StaticProvider(keys.access_key, keys.secret_key),
            region=region,
            secure=server.secure,
            http_client=server.http,
        )

    @contextlib.contextmanager
    def _doing(self, doing: str) -> Iterator[None]:
        from minio.error import InvalidResponseError, MinioAdminException, MinioException, S3Error

        with self.server.telling(doing):
            try:
                yield
            except S3Error as error:
                raise Refused(doing, str(error.code or ""), str(error.message or "")) from error
            except MinioAdminException as error:
                raise Refused(doing, *_admin_words(error)) from error
            except (InvalidResponseError, MinioException, ValueError) as error:
                raise StackgateError(f"the object storage accepts: {doing}", " ".join(str(error).split())[:300]) from error

    @contextlib.contextmanager
    def _unless(self, codes: tuple[str, ...]) -> Iterator[None]:
        """Swallows refusals that mean: there is none."""
        try:
            yield
        except Refused as error:
            if error.code not in codes:
                raise

    # -- buckets -------------------------------------------------------------------------------------------------

    def buckets(self) -> set[str]:
        """The names of all buckets that these keys may see."""
        with self._doing("list the buckets"):
            return {str(bucket.name) for bucket in self._s3.list_buckets()}

    def make_bucket(self, bucket: str, object_lock: bool) -> None:
        """Make a bucket; one that is there already, and ours, is fine."""
        with self._unless(("BucketAlreadyOwnedByYou",)), self._doing(f"make bucket {bucket}"):
            self._s3.make_bucket(bucket_name=bucket, object_lock=object_lock)

    def is_empty(self, bucket: str) -> bool:
        """Whether it holds no object, no older version of one, and no delete marker."""
        with self._doing(f"list bucket {bucket}"):
            return not any(True for _object in self._s3.list_objects(bucket_name=bucket, recursive=True, include_version=True))

    def remove_bucket(self, bucket: str, with_objects: bool) -> None:
        """Delete it; with_objects: with everything in it, all versions."""
        from minio.deleteobjects import DeleteObject

        with self._doing(f"delete bucket {bucket}"):
            if with_objects:
                listed = self._s3.list_objects(bucket_name=bucket, recursive=True, include_version=True)
                doomed = (DeleteObject(str(entry.object_name), entry.version_id) for entry in listed)
                for error in self._s3.remove_objects(bucket_name=bucket, delete_object_list=doomed):
                    raise Refused(f"delete object {error.name} of bucket {bucket}", str(error.code), str(error.message or ""))
            self._s3.remove_bucket(bucket_name=bucket)

    def versioning(self, bucket: str) -> str:
        """`enabled`, `suspended` or `off` (never switched on)."""
        with self._doing(f"read the versioning of bucket {bucket}"):
            return str(self._s3.get_bucket_versioning(bucket_name=bucket).status or "off").lower()

    def set_versioning(self, bucket: str, status: str) -> None:
        """`enabled` or `suspended`."""
        from minio.versioningconfig import VersioningConfig

        with self._doing(f"set the versioning of bucket {bucket}"):
            self._s3.set_bucket_versioning(bucket_name=bucket, config=VersioningConfig(status.capitalize()))

    def lifecycle(self, bucket: str) -> tuple[Rule, ...]:
        """Its rules."""
        with self._unless(NO_LIFECYCLE), self._doing(f"read the lifecycle of bucket {bucket}"):
            found = self._s3.get_bucket_lifecycle(bucket_name=bucket)
            return from_library(found.rules if found else [])
        return ()

    def set_lifecycle(self, bucket: str, rules: tuple[Rule, ...]) -> None:
        """Replace its rules; none: take them away."""
        with self._doing(f"set the lifecycle of bucket {bucket}"):
            if rules:
                self._s3.set_bucket_lifecycle(bucket_name=bucket, config=to_library(rules))
            else:
                self._s3.delete_bucket_lifecycle(bucket_name=bucket)

    def object_lock(self, bucket: str) -> str | None:
        """The default retention as `compliance 30 days`, empty for none; None when the bucket has no object lock."""
        with self._unless(NO_LOCK), self._doing(f"read the object lock of bucket {bucket}"):
            found = self._s3.get_object_lock_config(bucket_name=bucket)
            return f"{found.mode} {found.duration} {found.duration_unit}".lower() if found.mode else ""
        return None

    def set_retention(self, bucket: str, retention: str) -> None:
        """The default retention of new objects, in the same words."""
        from minio.objectlockconfig import ObjectLockConfig

        mode, duration, unit = retention.split() if retention else (None, None, None)
        config = ObjectLockConfig(mode and mode.upper(), int(duration) if duration else None, unit and unit.capitalize())
        with self._doing(f"set the retention of bucket {bucket}"):
            self._s3.set_object_lock_config(bucket_name=bucket, config=config)

    def quota(self, bucket: str) -> int:
        """Bytes that it may hold; 0 when there is no limit."""
        with self._unless(NO_QUOTA), self._doing(f"read the quota of bucket {bucket}"):
            found = json.loads(self._admin.bucket_quota_get(bucket) or "{}")
            return int(found.get("size") or found.get("quota") or 0)
        return 0

    def set_quota(self, bucket: str, amount: int) -> None:
        """Bytes; 0 takes the limit away."""
        with self._doing(f"set the quota of bucket {bucket}"):
            self._admin.bucket_quota_set(bucket, amount)

    # -- users ---------------------------------------------------------------------------------------------------

    def user(self, name: str) -> dict[str, Any] | None:
        """{enabled, policies (names)} of a user, or None."""
        with self._unless(NO_USER), self._doing(f"read user {name}"):
            found = json.loads(self._admin.user_info(name))
            policies = sorted(filter(None, str(found.get("policyName") or "").split(",")))
            return {"enabled": found.get("status") == "enabled", "policies": policies}
        return None

    def users(self) -> dict[str, dict[str, Any]]:
        """All users with what is known of them. Costs 0.1 s of processor time: the server encrypts the list."""
        with self._doing("list the users"):
            found = json.loads(self._admin.user_list() or "{}")
        return {
            name: {
                "enabled": entry.get("status") == "enabled",
                "policies": sorted(filter(None, str(entry.get("policyName") or "").split(","))),
            }
            for name, entry in sorted(found.items())
        }

    def set_user(self, keys: Keys) -> None:
        """Make a user, or give it another secret key; enabled in either case."""
        with self._doing(f"set user {keys.access_key}"):
            self._admin.user_add(keys.access_key, keys.secret_key)

    def remove_user(self, name: str) -> None:
        """Delete a user; one that is not there is fine."""
        with self._unless(NO_USER), self._doing(f"delete user {name}"):
            self._admin.user_remove(name)

    def policy(self, name: str) -> dict[str, Any] | None:
        """A policy's document, or None."""
        with self._unless(NO_POLICY), self._doing(f"read policy {name}"):
            found: dict[str, Any] = json.loads(self._admin.policy_info(name))
            return found
        return None

    def set_policy(self, name: str, document: Mapping[str, Any]) -> None:
        """Make or replace a policy."""
        with self._doing(f"set policy {name}"):
            self._admin.policy_add(name, policy=dict(document))

    def remove_policy(self, name: str) -> None:
        """Delete a policy; one that is not there is fine."""
        with self._unless(NO_POLICY), self._doing(f"delete policy {name}"):
            self._admin.policy_remove(name)

    def give_policy(self, name: str, user: str) -> None:
        """Make it the user's only policy."""
        with self._doing(f"give policy {name} to user {user}"):
            self._admin.policy_set(name, user=user)

    def logs_in(self) -> bool:
        """Whether the server knows these keys; what they may do does not matter."""
        try:
            self.buckets()
        except Refused as error:
            return error.code not in NO_LOGIN
        return True

    # -- the server ----------------------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """What the servers say of themselves and of their drives. Answered without write quorum, too."""
        with self._doing("tell about servers and drives"):
            found: dict[str, Any] = json.loads(self._admin.info())
            return found

    # -- objects -------------------------------------------------------------------------------------------------

    def may_list(self, bucket: str) -> bool:
        """Whether the bucket is there; Refused when these keys may not know."""
        with self._doing(f"look at bucket {bucket}"):
            return bool(self._s3.bucket_exists(bucket_name=bucket))

    def put(self, bucket: str, name: str, content: bytes) -> str:
        """Store an object; its version, empty in a bucket without versions."""
        with self._doing(f"put an object into bucket {bucket}"):
            return str(
                self._s3.put_object(bucket_name=bucket, object_name=name, data=io.BytesIO(content), length=len(content)).version_id or ""
            )

    def get(self, bucket: str, name: str) -> bytes:
        """An object's content."""
        with self._doing(f"get an object of bucket {bucket}"):
            answer = self._s3.get_object(bucket_name=bucket, object_name=name)
            try:
                return bytes(answer.read())
            finally:
                answer.close()
                answer.release_conn()

    def remove(self, bucket: str, name: str, version: str = "") -> None:
        """Delete an object; with a version, that one for good."""
        with self._doing(f"delete an object of bucket {bucket}"):
            self._s3.remove_object(bucket_name=bucket, object_name=name, version_id=version or None)


def _admin_words(error: Any) -> tuple[str, str]:
    """Code and message of an administration's refusal, which is JSON, or XML when the reason lies below it."""
    body = str(error._body or "")
    if body.lstrip().startswith("{"):
        found = json.loads(body)
        return str(found.get("Code") or error._code), str(found.get("Message") or "")
    code, message = (re.search(f"<{tag}>([^<]*)</{tag}>", body) for tag in ("Code", "Message"))
    return (code[1] if code else f"HTTP {error._code}"), (message[1] if message else "")
