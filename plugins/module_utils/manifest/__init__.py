# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying the objects of one component: parse, plan by server dry-run, apply, prune. See docs/manifest.md."""
