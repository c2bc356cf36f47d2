# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Object storage: everything that is known of S3 servers, and of MinIO's server in particular.

layout (what a set of drives gives), transport and client (how it is spoken to), health (what it says of itself), policy, desired, observe,
plan and perform (buckets and users), probe (an object written and read back), rollout (taking pods down).
"""
