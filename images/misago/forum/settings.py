# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Django settings: Misago's own, and what a deployment decides through the environment (docs/stacks/wesago.md lists it)."""

from __future__ import annotations

import os

from misago.settings import INSTALLED_APPS as MISAGO_APPS
from misago.settings import INSTALLED_PLUGINS, MISAGO_NOTIFICATIONS_RETRY_DELAY, TEMPLATE_CONTEXT_PROCESSORS

from forum.environment import Environment, database_parts, redis_uri

__all__ = ["INSTALLED_PLUGINS", "MISAGO_NOTIFICATIONS_RETRY_DELAY"]

# collectstatic runs while the image is built, where nothing of a deployment exists yet.
BUILDING = os.environ.get("FORUM_BUILDING") == "1"
environment = Environment(
    {"FORUM_SECRET_KEY": "build", "FORUM_DATABASE_HOST": "build", "FORUM_DATABASE_PASSWORD": "build", "FORUM_REDIS_HOST": "build"}
    if BUILDING
    else os.environ
)

# -- Who we are
DEBUG = False
SECRET_KEY = environment.text("FORUM_SECRET_KEY")
ALLOWED_HOSTS = environment.words("FORUM_HOSTS", "localhost")
FORUM_NAME = environment.text("FORUM_NAME", "Misago")
MISAGO_ADDRESS = environment.text("FORUM_ADDRESS", f"http://{ALLOWED_HOSTS[0]}/")
LANGUAGE_CODE = environment.text("FORUM_LANGUAGE", "en-us")
TIME_ZONE = environment.text("FORUM_TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

# -- Behind a proxy that ends TLS. Browsers keep secure cookies to themselves on plain http, so nobody could log in there.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = environment.flag("FORUM_SECURE_COOKIES", True)
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"

# -- Stores
_database = database_parts(environment)
DATABASES = {
    "default": {
        "ENGINE": "forum.database",
        "HOST": _database["host"],
        "PORT": _database["port"],
        "NAME": _database["name"],
        "USER": _database["user"],
        "PASSWORD": _database["password"],
        # A pooler holds a login while the database fails over.
        "OPTIONS": {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3} | _database["options"],
        # A connection is kept for a minute, and tried before its first use in a request: a failed over database costs no error page.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # Behind a pooler that gives each transaction another connection, nothing may last longer than a transaction.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

BROKER_DATABASE, CACHE_DATABASE, RESULT_DATABASE = 0, 1, 2
CACHES = {
    "default": {
        "BACKEND": "forum.failover.PatientCache",
        "LOCATION": redis_uri(environment, CACHE_DATABASE),
        "KEY_PREFIX": "forum",
        "OPTIONS": {"socket_connect_timeout": 3, "socket_timeout": 5, "socket_keepalive": True, "health_check_interval": 30},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"

# -- Celery. Only our own task has a result that anybody waits for.
CELERY_BROKER_URL = redis_uri(environment, BROKER_DATABASE)
CELERY_RESULT_BACKEND = redis_uri(environment, RESULT_DATABASE)
CELERY_RESULT_EXPIRES = 60
CELERY_TASK_IGNORE_RESULT = True
# A worker that dies with a task gives it back: to the queue at once, or after the visibility timeout (seconds) when its node died.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_BROKER_TRANSPORT = "forum.broker:Transport"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "copies": environment.number("FORUM_TASK_COPIES", 0),
}
# About as long as the cache waits for a new master (failover.py); then the page says that it did not work, and the post is not kept.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 20, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for as long as it takes: the kubelet's probe tells when it takes too long
CELERY_REDIS_SOCKET_CONNECT_TIMEOUT = 3
CELERY_REDIS_SOCKET_KEEPALIVE = True
CELERY_WORKER_CONCURRENCY = environment.number("FORUM_WORKER_PROCESSES", 1, minimum=1)
CELERY_WORKER_MAX_TASKS_PER_CHILD = environment.number("FORUM_WORKER_TASKS_PER_CHILD", 100, minimum=1)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# -- Files. The static files are in the image; the command collectstatic copies them to where the web server reads them.
STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("FORUM_STATIC_BUILT", "/opt/misago/static")
STATICFILES_DIRS = ["/opt/sources"] if BUILDING else []
MEDIA_URL = "/media/"
MEDIA_ROOT = environment.text("FORUM_MEDIA_ROOT", "/srv/media")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
# The web server is another user: what is written must be readable for it, whatever the umask.
FILE_UPLOAD_PERMISSIONS = 0o644
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o755

# -- Mail. Without a server mails are dropped, not logged: they hold links that set passwords.
EMAIL_HOST = environment.text("FORUM_EMAIL_HOST", "")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'dummy'}.EmailBackend"
EMAIL_PORT = environment.number("FORUM_EMAIL_PORT", 587, minimum=1)
EMAIL_HOST_USER = environment.text("FORUM_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = environment.text("FORUM_EMAIL_PASSWORD", "")
EMAIL_USE_TLS = environment.flag("FORUM_EMAIL_TLS", True)
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = environment.text("FORUM_EMAIL_FROM", f"{FORUM_NAME} <forum@{ALLOWED_HOSTS[0]}>")

# -- Log: one line an event, on stdout.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
    "root": {"handlers": ["stdout"], "level": environment.text("FORUM_LOG_LEVEL", "INFO")},
    # Django's own default would also mail the administrators and print to stderr.
    "loggers": {"django": {"handlers": [], "propagate": True}, "django.server": {"handlers": [], "propagate": True}},
}

# -- Application. The debug toolbar and the test data generator stay out of a deployment.
INSTALLED_APPS = [*INSTALLED_PLUGINS, *(app for app in MISAGO_APPS if app not in ("debug_toolbar", "misago.faker"))]
ROOT_URLCONF = "forum.urls"
WSGI_APPLICATION = "forum.wsgi.application"
AUTH_USER_MODEL = "misago_users.User"
AUTHENTICATION_BACKENDS = ["misago.users.authbackends.MisagoBackend"]
CSRF_FAILURE_VIEW = "misago.core.errorpages.csrf_failure"
LOGIN_URL = "misago:login"
LOGIN_REDIRECT_URL = "misago:index"
LOGOUT_URL = "misago:logout"
MIDDLEWARE = [
    "forum.middleware.LivenessMiddleware",
    "misago.users.middleware.RealIPMiddleware",
    "misago.core.middleware.FrontendContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "misago.cache.middleware.cache_versions_middleware",
    "misago.conf.middleware.dynamic_settings_middleware",
    "misago.socialauth.middleware.socialauth_providers_middleware",
    "misago.users.middleware.UserMiddleware",
    "misago.acl.middleware.user_acl_middleware",
    "misago.core.middleware.ExceptionHandlerMiddleware",
    "misago.users.middleware.OnlineTrackerMiddleware",
    "misago.admin.middleware.AdminAuthMiddleware",
    "misago.threads.middleware.UnreadThreadsCountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": TEMPLATE_CONTEXT_PROCESSORS},
    }
]
_validators = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_validators}.UserAttributeSimilarityValidator", "OPTIONS": {"user_attributes": ["username", "email"]}},
    {"NAME": f"{_validators}.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": f"{_validators}.CommonPasswordValidator"},
    {"NAME": f"{_validators}.NumericPasswordValidator"},
]
REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["misago.core.rest_permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "misago.core.exceptionhandler.handle_api_exception",
    "UNAUTHENTICATED_USER": "misago.users.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,
}
SOCIAL_AUTH_STRATEGY = "misago.socialauth.strategy.MisagoStrategy"
SOCIAL_AUTH_JSONFIELD_ENABLED = True
SOCIAL_AUTH_PIPELINE = (
    "social_core.pipeline.social_auth.social_details",
    "social_core.pipeline.social_auth.social_uid",
    "social_core.pipeline.social_auth.social_user",
    "misago.socialauth.pipeline.associate_by_email",
    "misago.socialauth.pipeline.validate_ip_not_banned",
    "misago.socialauth.pipeline.validate_user_not_banned",
    "misago.socialauth.pipeline.get_username",
    "misago.socialauth.pipeline.create_user_with_form",
    "social_core.pipeline.social_auth.associate_user",
    "social_core.pipeline.social_auth.load_extra_data",
    "misago.socialauth.pipeline.require_activation",
)
MISAGO_SEARCH_CONFIG = environment.text("FORUM_SEARCH_CONFIG", "simple")
# Pictures that loadavatargallery copies to the media, for members to choose from.
MISAGO_AVATAR_GALLERY = environment.text("FORUM_AVATAR_GALLERY", "") or None
MISAGO_USER_DATA_DOWNLOADS_WORKING_DIR = environment.text("FORUM_USERDATA_ROOT", "/tmp")  # noqa: S108 - the pod's own
_fields = "misago.users.profilefields.default"
MISAGO_PROFILE_FIELDS = [
    {"name": "Personal", "fields": [f"{_fields}.RealNameField", f"{_fields}.BioField", f"{_fields}.LocationField"]},
    {"name": "Contact", "fields": [f"{_fields}.TwitterHandleField", f"{_fields}.WebsiteField"]},
    {"name": "IP address", "fields": [f"{_fields}.JoinIpField"]},
]
