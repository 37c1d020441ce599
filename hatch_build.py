"""Adds to a real wheel the single file that makes the packaged collection's name and version known to Ansible.

Directories are mapped in pyproject.toml; files cannot be, and `force-include` there would also reach editable installs,
where the copy would shadow the checkout.
"""

from __future__ import annotations

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CollectionMetadata(BuildHookInterface):
    """Places galaxy.yml at the collection's root in standard wheels."""

    def initialize(self, version: str, build_data: dict[str, dict[str, str]]) -> None:
        """Includes the file unless `version` is `editable`."""
        if version == "standard":
            build_data["force_include"]["galaxy.yml"] = "ansible_collections/openqrm/datacenter/galaxy.yml"
