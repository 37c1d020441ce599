#!/usr/bin/python

# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: shelf_template
short_description: Fetch root file systems from shelves
version_added: 0.1.0
description:
  - Fetches archives of templates from shelves, directories or web servers, to the controller.
  - The signature of the shelf's index is checked, and the digest of the archive before it appears under its name.
  - A fetch that broke is gone on with. An archive that is there, with the right digest, is not fetched again.
  - Runs on the controller.
author:
  - openQRM project (@openqrm)
requirements:
  - openqrm (the Python library)
  - ssh-keygen
options:
  templates:
    description: The templates.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the image that it is for.
        type: str
        required: true
      shelf:
        description: Name of the shelf, for messages.
        type: str
        required: true
      url:
        description: Where the shelf is, a URL or the path of a directory.
        type: str
        required: true
      keys:
        description: Public SSH keys, one of which signed the index.
        type: list
        elements: str
        default: []
      unsigned:
        description: Whether the index is taken without a signature.
        type: bool
        default: false
      template:
        description: Name of the template.
        type: str
        required: true
      version:
        description: Its version; empty for the one that is listed last.
        type: str
        default: ""
      architecture:
        description: Its architecture, as C(x86_64).
        type: str
        required: true
      directory:
        description: The directory for the archive.
        type: path
        required: true
attributes:
  check_mode:
    description: Can run in check mode and return what would change.
    support: full
  diff_mode:
    description: Names the archives that would be fetched.
    support: full
"""

EXAMPLES = r"""
- name: Fetch a web server
  openqrm.datacenter.shelf_template:
    templates:
      - name: web
        shelf: main
        url: https://shelf.example/main
        keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJQ9mmUSTa3TaI1FEZd5WnHZHsxxODDVIIMqJhIqPmkg"]
        template: debian-nginx
        architecture: x86_64
        directory: /var/cache/openqrm/archives
"""

RETURN = r"""
items:
  description: One result per template, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The image.
      type: str
    changed:
      description: Whether the archive was fetched.
      type: bool
    archive:
      description: Path of the archive.
      type: str
    template:
      description: Shelf, template and version that it is.
      type: str
    sha256:
      description: Digest of the archive.
      type: str
"""
