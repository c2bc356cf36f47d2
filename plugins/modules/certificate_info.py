#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which runs in ansible's own process."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: certificate_info
short_description: Tell what is in the Secret of a certificate, and fail when clients would not trust it
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Reads a Secret with C(tls.crt), C(tls.key) and C(ca.crt), as cert-manager and M(stackgate.k3s.generated_certificate) make it.
  - Fails when one of them is missing, when the certificate has ended or has not begun, is not for all of O(names), is not of an authority
    in C(ca.crt), or is not that of the key.
  - Returns no key. Runs in ansible's own process.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - stackgate.k3s.read_only
options:
  name:
    description: Name of the Secret.
    type: str
    required: true
  namespace:
    description: The namespace that it is in.
    type: str
    required: true
  names:
    description: Host names that the certificate has to be for.
    type: list
    elements: str
    default: []
  warn_days:
    description: Days before its end from which on there is a warning.
    type: int
    default: 14
requirements:
  - cryptography
seealso:
  - module: stackgate.k3s.generated_certificate
"""

EXAMPLES = r"""
- name: Look at the certificate
  stackgate.k3s.certificate_info:
    name: shop-tls
    namespace: shop
    names: [shop.example.org]
  register: found
"""

RETURN = r"""
certificate:
  description: The certificate.
  returned: success
  type: dict
  contains:
    names:
      description: Host names and addresses that it is for.
      type: list
      elements: str
    subject:
      description: Its subject.
      type: str
    issuer:
      description: Who has signed it.
      type: str
    ends:
      description: When it ends (UTC).
      type: str
      sample: '2029-11-20T21:00:00+00:00'
    fingerprint:
      description: SHA-256 of it, in hexadecimal digits.
      type: str
"""
