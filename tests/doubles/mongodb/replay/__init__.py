# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays what a real mongod 5.0.7 was asked (recorded/) to other servers, and compares their answers with its own."""
