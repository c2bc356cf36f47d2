#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: generated_certificate
short_description: Make an authority and a certificate for servers, and renew it in time
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Makes two Secrets of the type C(kubernetes.io/tls), once. O(authority) has the certificate and the key of an authority, O(name) a
    certificate for servers that it has signed, in C(tls.crt), its key in C(tls.key), and the authority's certificate in C(ca.crt).
  - The certificate is made anew, with a new key, by the first run that finds less than O(renew_days) left of it, other O(names), or
    another authority. So it is by a run after one of the Secrets was deleted.
  - An authority of one's own is put into the Secret O(authority) before the first run.
  - Nothing but pods' own mounts brings the Secret to its users. To have them read it again is up to them.
  - No key is printed, returned or shown in a difference.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.component
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: full
    description: Shows which keys are new or change, never a value.
options:
  name:
    description:
      - The Secret of the certificate.
    type: str
    required: true
  authority:
    description:
      - The Secret of the authority.
    type: str
    required: true
  namespace:
    description:
      - The namespace of both.
    type: str
    required: true
  component:
    description:
      - The component that the Secrets belong to. Becomes the label C(app.kubernetes.io/component).
    type: str
    required: true
  names:
    description:
      - Host names and addresses that the certificate is for. A name may begin with C(*.). The first one is its subject, too.
    type: list
    elements: str
    required: true
  days:
    description:
      - Days that a certificate is valid.
    type: int
    default: 1095
  renew_days:
    description:
      - Days before its end from which on a run makes it anew.
    type: int
    default: 365
  authority_days:
    description:
      - Days that an authority is valid. It is made anew when a certificate would outlive it.
    type: int
    default: 7300
requirements:
  - cryptography
seealso:
  - module: stackgate.k3s.certificate_info
  - module: stackgate.k3s.generated_secret
"""

EXAMPLES = r"""
- name: Apply | Make the certificate
  stackgate.k3s.generated_certificate:
    name: postgresql-tls
    authority: postgresql-authority
    namespace: wesago
    component: postgresql
    names: [postgresql, postgresql.wesago.svc, localhost, 127.0.0.1]
"""

RETURN = r"""
keys:
  description: What happened to each key of the certificate's Secret, as in M(stackgate.k3s.generated_secret).
  returned: success
  type: dict
  sample: {tls.crt: unchanged, tls.key: unchanged, ca.crt: unchanged}
"""
