# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From names to images in the registry: ask first, build what is missing, bases before what stands on them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.images.builder import Builder, Outcome, Work
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import External, Image
from ansible_collections.stackgate.k3s.plugins.module_utils.images.process import Cancelled
from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import Registry

# Seconds between two lines of progress.
PROGRESS = 10.0
# Seconds between two looks at the builds. Short, because Python handles a signal (Ctrl-C) only between two steps of this thread.
GLANCE = 0.2


@dataclass
class Plan:
    """present: {image: digest} that the registry has; missing: to build, bases first; external: replaced by another's image."""

    present: dict[str, str] = field(default_factory=dict)
    missing: list[Image] = field(default_factory=list)
    external: list[tuple[str, External]] = field(default_factory=list)


def key(image: Image) -> str:
    """What tells two images apart: the same name may be wanted with different arguments."""
    return f"{image.name}:{image.tag}"


def plan(wanted: Iterable[tuple[str, Image | External]], registry: Registry) -> Plan:
    """Ask the registry for every wanted image, and for the bases of those it does not have. Raises RegistryError."""
    result = Plan()

    def visit(image: Image) -> None:
        if key(image) in result.present or any(key(image) == key(other) for other in result.missing):
            return
        digest = registry.digest(image.repository, image.tag)
        if digest:
            result.present[key(image)] = digest
            return
        if isinstance(image.base, Image):
            visit(image.base)
        result.missing.append(image)

    for name, image in wanted:
        if isinstance(image, Image):
            visit(image)
        else:
            result.external.append((name, image))
    return result


def deliver(builder: Builder, missing: Sequence[Image], say: Callable[[str], None], parallel: int = 2) -> dict[str, Outcome]:
    """Build and push images, at most `parallel` at once, each after its base. Returns {key: outcome}.

    say is called from this thread alone: when an image begins and ends, and every PROGRESS seconds with the steps reached.
    Raises the first error; the other builds are ended.
    """
    done: dict[str, Outcome] = {}
    if not missing:
        return done
    builder.check(missing)
    waiting = list(missing)
    running: dict[Future[Outcome], tuple[Image, Work]] = {}
    with builder.storage(missing), ThreadPoolExecutor(max_workers=parallel) as pool:
        try:
            last = time.monotonic()
            parent = os.getppid()
            while waiting or running:
                if os.getppid() != parent:
                    raise Cancelled  # ansible was killed: nobody would hear of the result
                pending = {key(image) for image in missing} - set(done)
                for image in ready(waiting, len(running), parallel, pending):
                    waiting.remove(image)
                    work = Work(image.name)
                    running[pool.submit(builder.build, image, work)] = (image, work)
                    say(f"image {image.name}: building {image.tag}")
                finished, _unfinished = wait(running, timeout=GLANCE, return_when=FIRST_COMPLETED)
                for future in finished:
                    image, work = running.pop(future)
                    outcome = done[key(image)] = future.result()
                    say(f"image {image.name}: {'pushed' if outcome.built else 'already there'} after {time.monotonic() - work.began:.0f} s")
                if running and time.monotonic() - last >= PROGRESS:
                    last = time.monotonic()
                    for _image, work in running.values():
                        say(f"image {work.name}: {work.steps.short()} ({time.monotonic() - work.began:.0f} s)")
        except BaseException as error:
            builder.processes.cancel()
            raise first_error(error, running) from None
    return done


def ready(waiting: Sequence[Image], running: int, parallel: int, pending: Container[str]) -> list[Image]:
    """The images that can begin now: those whose base is not still to be built (keys in `pending`)."""
    free = [image for image in waiting if not isinstance(image.base, Image) or key(image.base) not in pending]
    return free[: parallel - running]


def first_error(error: BaseException, running: Iterable[Future[Outcome]]) -> BaseException:
    """The error that began it: not the end that we put to the other builds because of it."""
    if not isinstance(error, Cancelled):
        return error
    for future in running:
        if future.done() and not isinstance(future.exception(), (Cancelled, type(None))):
            return future.exception() or error
    return error
