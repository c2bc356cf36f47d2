# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of an image that is built here, computed from its files."""

from __future__ import annotations

DOCUMENTATION = r"""
name: image
short_description: The reference of an image that is built here
version_added: 0.1.0
description:
  - Gives C(<registry>/stackgate/<name>:<hash>) for an image that M(stackgate.k3s.container_image) builds.
  - The hash covers the image's files, its arguments and its base. It is computed from files alone, in milliseconds;
    neither the registry nor the cluster is asked, and the image need not exist.
  - An image that is replaced by one from elsewhere gives that one's reference.
author:
  - The stackgate authors (@stackgate)
options:
  _terms:
    description: Names of images.
    required: true
  registry:
    description: The registry, as C(host[:port][/path]).
    type: str
    vars:
      - name: stackgate_registry
  images_dirs:
    description: Directories of images, searched in this order before the collection's own.
    type: list
    elements: path
    default: []
    vars:
      - name: stackgate_images_dirs
  arguments:
    description: Build arguments per image, over those of its C(image.yml), by the image's name.
    type: dict
    default: {}
    vars:
      - name: stackgate_image_arguments
  bases:
    description: Images that are replaced by one from elsewhere, each name with the other's reference.
    type: dict
    default: {}
    vars:
      - name: stackgate_image_bases
seealso:
  - module: stackgate.k3s.container_image
"""

EXAMPLES = r"""
- name: Show the reference of an image
  ansible.builtin.debug:
    msg: "{{ lookup('stackgate.k3s.image', 'nginx') }}"
"""

RETURN = r"""
_list:
  description: One reference per name.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, External

VARIABLES = ("stackgate_registry", "stackgate_images_dirs", "stackgate_image_arguments", "stackgate_image_bases")


class LookupModule(LookupBase):
    """stackgate.k3s.image"""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """One reference per name. Raises AnsibleLookupError."""
        # Ansible hands over the variables as they are written: a value may itself be a template.
        written = {name: value for name, value in (variables or {}).items() if name in VARIABLES}
        self.set_options(var_options={name: self._templar.template(value) for name, value in written.items()}, direct=kwargs)
        registry = self.get_option("registry")
        try:
            if not registry:
                raise StackgateError(
                    "a registry for the reference of an image", "none is named", "set stackgate_registry: host[:port][/path]"
                )
            catalogue = Catalogue(self.get_option("images_dirs"), self.get_option("arguments"), self.get_option("bases"))
            found = (catalogue.get(term) for term in terms)
            return [image.reference if isinstance(image, External) else image.reference(registry) for image in found]
        except StackgateError as error:
            raise AnsibleLookupError(f"image {', '.join(terms)}: {error}") from error
