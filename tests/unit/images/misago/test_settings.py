# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest
from forum.environment import EnvironmentProblem

NEEDED = {
    "FORUM_SECRET_KEY": "k",
    "FORUM_HOSTS": "forum.test,other.test",
    "FORUM_DATABASE_URI": "postgresql://misago:p@db/misago",
    "FORUM_REDIS_URI": "redis://:p@redis:6379",
}


def load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Any:
    """forum.settings as this environment makes them, on a stand-in for misago.settings."""
    misago, defaults = ModuleType("misago"), ModuleType("misago.settings")
    vars(defaults).update(
        INSTALLED_APPS=["misago", "debug_toolbar", "misago.faker", "misago.threads"],
        INSTALLED_PLUGINS=[],
        MISAGO_NOTIFICATIONS_RETRY_DELAY=5,
        TEMPLATE_CONTEXT_PROCESSORS=[],
    )
    monkeypatch.setitem(sys.modules, "misago", misago)
    monkeypatch.setitem(sys.modules, "misago.settings", defaults)
    monkeypatch.delitem(sys.modules, "forum.settings", raising=False)
    monkeypatch.setattr("os.environ", values)
    return importlib.import_module("forum.settings")


def test_what_a_deployment_has_when_it_says_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **NEEDED)
    assert settings.DEBUG is False
    assert settings.ALLOWED_HOSTS == ["forum.test", "other.test"]
    assert settings.MISAGO_ADDRESS == "http://forum.test/"
    assert settings.SESSION_COOKIE_SECURE is settings.CSRF_COOKIE_SECURE is True
    assert settings.EMAIL_BACKEND == "django.core.mail.backends.dummy.EmailBackend"
    assert settings.INSTALLED_APPS == ["misago", "misago.threads"]


def test_broker_cache_and_results_do_not_share_a_redis_database(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **NEEDED)
    addresses = {settings.CELERY_BROKER_URL, settings.CELERY_RESULT_BACKEND, settings.CACHES["default"]["LOCATION"]}
    assert addresses == {f"redis://:p@redis:6379/{number}" for number in (0, 1, 2)}


def test_plain_http_and_mail_are_switched_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **NEEDED, FORUM_SECURE_COOKIES="false", FORUM_EMAIL_HOST="mail.test")
    assert settings.SESSION_COOKIE_SECURE is settings.CSRF_COOKIE_SECURE is False
    assert settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend"


def test_options_of_the_database_uri_win(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgresql://misago:p@db/misago?connect_timeout=9&sslmode=require"
    options = load(monkeypatch, **(NEEDED | {"FORUM_DATABASE_URI": uri})).DATABASES["default"]["OPTIONS"]
    assert (options["connect_timeout"], options["sslmode"]) == ("9", "require")


@pytest.mark.parametrize("name", ["FORUM_SECRET_KEY", "FORUM_DATABASE_URI", "FORUM_REDIS_URI"])
def test_nothing_secret_has_a_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(EnvironmentProblem):
        load(monkeypatch, **{key: value for key, value in NEEDED.items() if key != name})


def test_a_build_needs_no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, FORUM_BUILDING="1").STATIC_ROOT == "/opt/misago/static"


def test_a_failover_of_a_store_finds_nothing_that_outlasts_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **NEEDED, FORUM_TASK_COPIES="1")
    assert settings.DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert settings.CACHES["default"]["BACKEND"] == "forum.failover.PatientCache"
    assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["copies"] == 1
    assert load(monkeypatch, **NEEDED).CELERY_BROKER_TRANSPORT_OPTIONS["copies"] == 0
