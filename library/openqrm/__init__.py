"""Data-centre orchestration over the Ansible collection openqrm.datacenter."""

from __future__ import annotations

__version__ = "0.1.0"
