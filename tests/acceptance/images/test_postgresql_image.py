# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image postgresql on a real cluster: first start, use, restart, changed password, kill, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

UID = 10026
PASSWORD = 'it\'s a "pass\\word" $HOME'  # quotes of every kind: nothing on the way may interpret them
ENVIRONMENT = {"POSTGRESQL_DATABASE": "forum", "POSTGRESQL_USERNAME": "forum-user", "POSTGRESQL_EXTENSIONS": "hstore btree_gin"}
PROBE = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60}
VOLUMES = [
    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "run", "emptyDir": {}},
    {"name": "secrets", "secret": {"secretName": "postgresql", "defaultMode": 0o440}},
    {"name": "config", "configMap": {"name": "postgresql"}},
]
MOUNTS = [
    {"name": "data", "mountPath": "/var/lib/postgresql/data"},
    {"name": "run", "mountPath": "/run/postgresql"},
    {"name": "secrets", "mountPath": "/run/secrets/postgresql", "readOnly": True},
    {"name": "config", "mountPath": "/etc/postgresql/conf.d", "readOnly": True},
]


def start(namespace: Any, name: str = "postgresql", **environment: str) -> None:
    container = {
        "env": [{"name": key, "value": value} for key, value in {**ENVIRONMENT, **environment}.items()],
        "readinessProbe": {"exec": {"command": ["postgresql-ready"]}, **PROBE},
        "livenessProbe": {"exec": {"command": ["postgresql-live"]}, **PROBE},
    }
    namespace.run(name, "postgresql", UID, container=container, volumes=VOLUMES, mounts=MOUNTS)


def query(namespace: Any, sql: str, password: str = PASSWORD, host: str = "127.0.0.1") -> tuple[int, str]:
    quoted = password.replace("'", "'\"'\"'")
    script = f"PGPASSWORD='{quoted}' psql -X -A -t -v ON_ERROR_STOP=1 -h {host} -U forum-user -d forum <<'SQL'\n{sql}\nSQL\n"
    return namespace.sh("postgresql", script)


@pytest.fixture(scope="module")
def postgresql(namespace: Any) -> Any:
    namespace.claim("data")
    namespace.secret("postgresql", {"superuser-password": "super-" + PASSWORD, "password": PASSWORD + "\n"})
    namespace.api.create_namespaced_config_map(
        "images-test", {"metadata": {"name": "postgresql"}, "data": {"10-test.conf": "work_mem = '7MB'\n"}}
    )
    start(namespace)
    namespace.ready("postgresql")
    return namespace


def test_first_start_makes_role_database_and_extensions(postgresql: Any) -> None:
    assert query(postgresql, "select current_user, current_database()") == (0, "forum-user|forum")
    assert query(postgresql, "select string_agg(extname, ' ' order by extname) from pg_extension")[1] == "btree_gin hstore plpgsql"
    assert query(postgresql, "select pg_get_userbyid(datdba) from pg_database where datname = 'forum'")[1] == "forum-user"


def test_settings_are_those_of_image_and_mounted_directory(postgresql: Any) -> None:
    assert query(postgresql, "show work_mem")[1] == "7MB"
    assert query(postgresql, "show data_checksums")[1] == "on"
    assert query(postgresql, "show password_encryption")[1] == "scram-sha-256"
    assert query(postgresql, "show server_encoding")[1] == "UTF8"


def test_wrong_password_is_refused(postgresql: Any) -> None:
    status, text = query(postgresql, "select 1", password="wrong")
    assert status != 0
    assert "password authentication failed" in text


def test_superuser_needs_its_password_over_tcp(postgresql: Any) -> None:
    status, text = postgresql.sh("postgresql", "psql -w -h 127.0.0.1 -U postgres -c 'select 1'")
    assert status != 0
    assert "password" in text


def test_no_password_is_in_arguments_environment_or_log(postgresql: Any) -> None:
    _status, seen = postgresql.sh("postgresql", "cat /proc/[0-9]*/cmdline /proc/1/environ | tr '\\0' '\\n'")
    for text in (seen, postgresql.log("postgresql")):
        assert "pass\\word" not in text
        assert "SCRAM-SHA-256$" not in text


def test_restart_keeps_data_and_takes_a_changed_password(postgresql: Any) -> None:
    assert query(postgresql, "create table kept as select 42 as answer")[0] == 0
    seconds = postgresql.delete("postgresql")
    assert seconds < 15, f"a stop took {seconds:.1f} s: not the fast shutdown"
    postgresql.secret("postgresql", {"superuser-password": "other", "password": "changed"})
    start(postgresql)
    postgresql.ready("postgresql")
    assert "not properly shut down" not in postgresql.log("postgresql")
    assert query(postgresql, "select answer from kept", password="changed") == (0, "42")
    assert query(postgresql, "select 1", password=PASSWORD)[0] != 0


def test_killed_server_recovers(postgresql: Any) -> None:
    assert query(postgresql, "insert into kept values (43)", password="changed")[0] == 0
    postgresql.delete("postgresql", grace=0)
    start(postgresql)
    postgresql.ready("postgresql")
    assert query(postgresql, "select count(*) from kept", password="changed") == (0, "2")


def test_half_made_cluster_is_made_again(postgresql: Any) -> None:
    postgresql.delete("postgresql")
    start(postgresql, PGDATA="/var/lib/postgresql/data/second")
    postgresql.ready("postgresql")
    assert postgresql.sh("postgresql", "mkdir -p /var/lib/postgresql/data/third.new/base")[0] == 0
    postgresql.delete("postgresql")
    # As if initdb had been cut off: the name of a complete cluster is free, the half one is there.
    start(postgresql, PGDATA="/var/lib/postgresql/data/third")
    postgresql.ready("postgresql")
    assert query(postgresql, "select 1", password="changed") == (0, "1")
    postgresql.delete("postgresql")


def test_missing_password_says_what_to_do(postgresql: Any) -> None:
    postgresql.secret("postgresql", {"superuser-password": "other", "password": ""})
    start(postgresql, name="refused")
    assert postgresql.ended("refused") == 64
    assert "expected: the password of forum-user in /run/secrets/postgresql/password" in postgresql.log("refused")
    postgresql.delete("refused", grace=0)
