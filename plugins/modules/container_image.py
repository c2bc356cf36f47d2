# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: container_image
short_description: Have content-addressed container images in a registry
version_added: 0.1.0
description:
  - Builds images and pushes them, each under a tag that is a hash of its build context, its arguments and its base.
  - The registry is asked first. An image that it has is the right one, and nothing is done.
  - An image is a directory with a C(Containerfile), its files, and an C(image.yml). See C(docs/images.md).
  - Builds with buildah, as root. The base image is made by mmdebstrap from the machine's own apt sources.
    The machine's configuration of apt and pip and its certificates are lent to a build and are not in the image.
  - Runs on the control node, in ansible's own process. Programs are needed only when there is something to build.
  - The lookup P(stackgate.k3s.image#lookup) gives the reference of an image from the same variables.
author:
  - The stackgate authors (@stackgate)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.registry
options:
  name:
    description:
      - The image to build. Either this or O(images) is required.
    type: str
  images:
    description:
      - The images to build, each once, after their bases. An empty list only asks whether the registry answers.
    type: list
    elements: str
  images_dirs:
    description:
      - Directories of images, searched in this order before the collection's own.
      - The default is the variable C(stackgate_images_dirs), then none.
    type: list
    elements: path
  arguments:
    description:
      - Build arguments per image, over those of its C(image.yml), as a mapping of image to a mapping of argument to value.
      - The default is the variable C(stackgate_image_arguments), then none. Set that variable rather than this option,
        for the lookup must know them, too.
    type: dict
  bases:
    description:
      - Images that are replaced by one from elsewhere, a mapping of image to reference.
      - The default is the variable C(stackgate_image_bases), then none. Set that variable rather than this option.
    type: dict
  timeout:
    description:
      - Seconds that the registry may take to answer, if it is just being started.
    type: float
    default: 5
  apt_sources:
    description:
      - Sources of Debian packages for builds, in either format of apt, instead of this machine's own.
    type: str
    default: ''
  parallel:
    description:
      - How many images are built at the same time.
    type: int
    default: 2
  cache_dir:
    description:
      - Directory whose subdirectory C(buildah) holds the storage and the logs of builds. It may be deleted at any time.
      - The default is the variable C(stackgate_cache_dir), then C(~/.cache/stackgate).
    type: path
attributes:
  check_mode:
    description: Says which images would be built.
    support: full
  diff_mode:
    description: Shows the reference of the newest earlier build on this machine and the one of the new build.
    support: full
notes:
  - Needs no cluster. It takes the connection options, and ignores them, because it is in the collection's action group.
seealso:
  - plugin: stackgate.k3s.image
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Build what the stack needs
  stackgate.k3s.container_image:
    images: [misago, nginx, postgresql, redis]
    registry: registry.k3s:5000

- name: Build an image of one's own
  stackgate.k3s.container_image:
    name: shop
    images_dirs: ["{{ playbook_dir }}/images"]
    registry: registry.example.org/team
    registry_username: builder
    registry_password: "{{ registry_password }}"

- name: Fail early when the registry does not answer
  stackgate.k3s.container_image:
    images: []
"""

RETURN = r"""
image:
  description: The reference of O(name).
  returned: when O(name) is given
  type: str
  sample: registry.k3s:5000/stackgate/nginx:0123456789abcdef
digest:
  description: The digest of O(name) in the registry. Empty when it is yet to be built, or comes from elsewhere.
  returned: when O(name) is given
  type: str
built:
  description: Whether O(name) was built.
  returned: when O(name) is given
  type: bool
images:
  description: Every wanted image, and the bases that were missing, each with C(name), C(image), C(digest), C(built) and C(seconds).
  returned: success
  type: list
  elements: dict
missing:
  description: The names of images that the registry did not have, bases first.
  returned: success
  type: list
  elements: str
missing_tools:
  description: The programs that building RV(missing) needs and this machine lacks.
  returned: success
  type: list
  elements: str
"""
