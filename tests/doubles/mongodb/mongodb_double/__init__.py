# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test double of a member of a MongoDB 5.0.7 replica set: what it says is what a real one was recorded to say."""
