# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants over iSCSI with their CHAP secrets."""

from __future__ import annotations

from ansible_collections.openqrm.datacenter.plugins.plugin_utils.grants import SecretGrantsAction


class ActionModule(SecretGrantsAction):
    """The module ``iscsi_target``."""
