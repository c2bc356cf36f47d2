# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the object storage is and whose keys to use: written once, for documentation and argument spec alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every task that speaks to object storage."""

    DOCUMENTATION = r"""
options:
  namespace:
    description: The namespace of the Secrets, and of the Service or the pods.
    type: str
    required: true
  port:
    description: The port, by number or by the name that the Service gives it. Needed only where there are several.
    type: str
  scheme:
    description: How it is spoken to. Of O(ignore:url) its own.
    type: str
    choices: [http, https]
    default: http
  tls_name:
    description: The name that the certificate must carry. The default is the name that is asked.
    type: str
  tls_ca_cert:
    description: The authority that has signed the certificate, as PEM text or a file of the control node. The system's by default.
    type: str
  tls_verify:
    description: Whether the certificate is checked.
    type: bool
    default: true
  region:
    description: The region that requests are signed for.
    type: str
    default: us-east-1
  credentials:
    description: The administrator's keys. They are read from a Secret and never shown.
    type: dict
    required: true
    suboptions:
      secret:
        description: The Secret.
        type: str
        required: true
      access_key:
        description: The key of the Secret that holds the access key.
        type: str
        default: access-key
      secret_key:
        description: The key of the Secret that holds the secret key.
        type: str
        default: secret-key
requirements:
  - minio (Python library), where ansible runs
"""
