# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask first, bases first, at most so many at once, and the first error ends it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.images import delivery
from ansible_collections.stackgate.k3s.plugins.module_utils.images.builder import BuildError, Outcome, Work
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import External, Image
from ansible_collections.stackgate.k3s.plugins.module_utils.images.process import Cancelled


def image(name: str, base: Image | None = None, tag: str = "1") -> Image:
    return Image(name, Path("/images") / name, "containerfile", base, {}, tag)


DEBIAN = image("debian")
NGINX, REDIS = image("nginx", DEBIAN), image("redis", DEBIAN)
SHOP = image("shop", NGINX)


class FakeRegistry:
    def __init__(self, *present: str) -> None:
        self.present, self.asked = present, []  # type: ignore[var-annotated]

    def digest(self, repository: str, tag: str) -> str | None:
        name = f"{repository.removeprefix('stackgate/')}:{tag}"
        self.asked.append(name)
        return f"sha256:{name}" if name in self.present else None


class FakeBuilder:
    """Builds take `seconds`; `events` records what began and ended."""

    def __init__(self, action: Callable[[Image, Work], None] = lambda image, work: None, seconds: float = 0.02) -> None:
        self.action, self.seconds = action, seconds
        self.events: list[str] = []
        self.most = self.now = 0
        self.cancelled = threading.Event()
        self.lock = threading.Lock()
        self.processes = self

    def check(self, images: Any) -> None:
        self.events.append("check")

    @contextlib.contextmanager
    def storage(self, images: Any) -> Iterator[None]:
        yield

    def cancel(self) -> None:
        self.cancelled.set()

    def build(self, image: Image, work: Work) -> Outcome:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.events.append(f"+{image.name}")
        try:
            self.action(image, work)
            if self.cancelled.wait(self.seconds):
                raise Cancelled
        finally:
            with self.lock:
                self.now -= 1
                self.events.append(f"-{image.name}")
        return Outcome(image.name, "ref", "sha256:x", built=True)


def deliver(builder: FakeBuilder, images: list[Image], say: Callable[[str], None] = lambda text: None, **options: Any) -> Any:
    return delivery.deliver(builder, images, say, **options)  # type: ignore[arg-type]


def plan(registry: FakeRegistry, *wanted: Image | External) -> delivery.Plan:
    return delivery.plan([(getattr(one, "name", "external"), one) for one in wanted], registry)  # type: ignore[arg-type]


def test_what_the_registry_has_needs_no_base() -> None:
    registry = FakeRegistry("nginx:1")
    found = plan(registry, NGINX)
    assert (found.present, found.missing) == ({"nginx:1": "sha256:nginx:1"}, [])
    assert registry.asked == ["nginx:1"]


def test_bases_come_first_and_once() -> None:
    assert [one.name for one in plan(FakeRegistry(), SHOP, REDIS, NGINX).missing] == ["debian", "nginx", "shop", "redis"]
    assert [one.name for one in plan(FakeRegistry("debian:1"), SHOP).missing] == ["nginx", "shop"]


def test_the_same_name_with_other_arguments_is_another_image() -> None:
    trixie = image("debian", tag="2")
    assert [delivery.key(one) for one in plan(FakeRegistry(), NGINX, image("app", trixie)).missing] == [
        "debian:1",
        "nginx:1",
        "debian:2",
        "app:1",
    ]


def test_images_from_elsewhere_are_left_alone() -> None:
    registry = FakeRegistry()
    assert plan(registry, External("docker.io/library/debian:bookworm")).external
    assert registry.asked == []


def test_nothing_missing_asks_nothing_of_the_machine() -> None:
    builder = FakeBuilder()
    assert deliver(builder, []) == {}
    assert builder.events == []


def test_each_after_its_base_and_two_at_once() -> None:
    builder = FakeBuilder()
    done = deliver(builder, [DEBIAN, NGINX, SHOP, REDIS, image("other", DEBIAN)])
    assert set(done) == {"debian:1", "nginx:1", "shop:1", "redis:1", "other:1"}
    assert builder.events[0] == "check"
    for name, base in (("nginx", "debian"), ("redis", "debian"), ("shop", "nginx")):
        assert builder.events.index(f"-{base}") < builder.events.index(f"+{name}")
    assert builder.most == 2


def test_one_at_a_time() -> None:
    builder = FakeBuilder()
    said: list[str] = []
    deliver(builder, [DEBIAN, NGINX, REDIS], said.append, parallel=1)
    assert builder.most == 1
    assert ["building" in text for text in said] == [True, False] * 3, "none is announced before its turn"


def test_the_first_error_ends_the_others_and_is_the_one_reported() -> None:
    def action(image: Image, work: Work) -> None:
        if image.name == "redis":
            raise BuildError("redis builds", "it does not")

    builder = FakeBuilder(action, seconds=30)
    builder_events = builder.events
    began = time.monotonic()
    with pytest.raises(BuildError, match="redis builds"):
        deliver(builder, [NGINX, REDIS, SHOP])
    assert time.monotonic() - began < 5
    assert builder.cancelled.is_set()
    assert "+shop" not in builder_events


def test_progress_names_the_step_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PROGRESS", 0.05)
    monkeypatch.setattr(delivery, "GLANCE", 0.01)
    said: list[str] = []
    deliver(FakeBuilder(lambda image, work: work.steps.begin("step 2/9 RUN make"), seconds=0.3), [DEBIAN], said.append)
    assert said[0] == "image debian: building 1"
    assert "image debian: step 2/9 RUN make (0 s)" in said
    assert said[-1].startswith("image debian: pushed after")


def test_a_lost_parent_ends_the_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([10, 10, 1, 1, 1])
    monkeypatch.setattr(delivery.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(delivery, "GLANCE", 0.01)
    with pytest.raises(Cancelled):
        deliver(FakeBuilder(seconds=30), [DEBIAN])
