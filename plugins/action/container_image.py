# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task that has images in a registry. What it does is in module_utils/images; here are its options and its result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images import delivery
from ansible_collections.stackgate.k3s.plugins.module_utils.images.builder import Builder, Outcome
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, External, Image
from ansible_collections.stackgate.k3s.plugins.plugin_utils import registry
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction

# Options that fall back to a variable: {option: (variable, value when neither is given)}.
FALLBACKS: registry.Fallbacks = {
    **registry.REGISTRY,
    "images_dirs": ("stackgate_images_dirs", []),
    "arguments": ("stackgate_image_arguments", {}),
    "bases": ("stackgate_image_bases", {}),
    "cache_dir": ("stackgate_cache_dir", "~/.cache/stackgate"),
}


class ActionModule(StackgateAction):
    """stackgate.k3s.container_image"""

    name = "container_image"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask the registry, and (but in check mode) build what it lacks."""
        options = registry.with_variables(options, FALLBACKS, task_vars, self._templar.template)
        name, listed = options["name"], options["images"]
        if (name is None) == (listed is None):
            raise StackgateError("either name or images", "both" if name else "neither", "give one of them")
        if not options["registry"]:
            raise StackgateError("a registry to ask and to push to", "none is named", "set stackgate_registry: host[:port][/path]")
        catalogue = Catalogue(options["images_dirs"], options["arguments"], options["bases"])
        wanted = [(item, catalogue.get(item)) for item in dict.fromkeys([name] if listed is None else listed)]
        asked = registry.client(options)
        asked.wait(options["timeout"])
        plan = delivery.plan(wanted, asked)
        builder = Builder(Path(options["cache_dir"]).expanduser() / "buildah", asked, apt_sources=options["apt_sources"])
        result: dict[str, Any] = {
            "changed": bool(plan.missing),
            "missing": [image.name for image in plan.missing],
            "missing_tools": builder.missing_tools(plan.missing) if plan.missing else [],
        }
        if self.diff_mode and plan.missing:
            result["diff"] = [self._difference(builder, image, options["registry"]) for image in plan.missing]
        done: dict[str, Outcome] = {}
        if not self.check_mode:
            done = delivery.deliver(builder, plan.missing, self.say, options["parallel"])
            result["changed"] = any(outcome.built for outcome in done.values())
        result["images"] = outcomes(wanted, plan, done, options["registry"])
        if name is not None:
            result.update({key: result["images"][0][key] for key in ("image", "digest", "built")})
        return result

    @staticmethod
    def _difference(builder: Builder, image: Image, prefix: str) -> dict[str, str]:
        before = builder.previous(image.name)
        after = image.reference(prefix)
        return {
            "before_header": f"image {image.name}",
            "after_header": f"image {image.name}",
            "before": f"{after[: -len(image.tag)]}{before}\n" if before else "",
            "after": f"{after}\n",
        }


def outcomes(
    wanted: list[tuple[str, Image | External]], plan: delivery.Plan, done: dict[str, Outcome], prefix: str
) -> list[dict[str, Any]]:
    """The result's list: the wanted images in their order, then the bases that had to be built for them."""
    found = []
    bases = [(image.name, image) for image in plan.missing if delivery.key(image) not in {
        delivery.key(other) for _name, other in wanted if isinstance(other, Image)}]  # fmt: skip
    for name, image in [*wanted, *bases]:
        if isinstance(image, External):
            outcome = Outcome(name, image.reference, "", built=False)
        else:
            key = delivery.key(image)
            outcome = done.get(key) or Outcome(name, "", plan.present.get(key, ""), built=False)
            outcome = Outcome(name, image.reference(prefix), outcome.digest, outcome.built, round(outcome.seconds, 1))
        found.append(asdict(outcome))
    return found
