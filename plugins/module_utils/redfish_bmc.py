# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redfish over HTTPS: one BMC's resources as JSON. Source: DMTF DSP0266, the Redfish specification."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
import urllib.parse

from ansible_collections.openqrm.datacenter.plugins.module_utils.power import PowerError, credentials_of

ROOT = "/redfish/v1/"
REDIRECTS = (301, 302, 307, 308)
BUSY = (502, 503, 504)
HOPS = 3
PAUSE_S = 1
LONGEST = 4 * 1024 * 1024


def tls_context(ca_path, validate_certs):
    """Return how certificates of BMCs are checked; those of the system are trusted where ``ca_path`` is empty."""
    context = ssl.create_default_context(cafile=ca_path or None)
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def host_of(endpoint):
    """Return host and port (None: 443) of the BMC. Raises PowerError for what is no address, or a URL without TLS."""
    address = (endpoint.get("address") or "").strip()
    url = urllib.parse.urlsplit(address if "://" in address else f"https://{address}")
    try:
        port = url.port
    except ValueError:
        port = 0
    plain = url.scheme == "https" and url.hostname and not url.username and url.path in ("", "/") and port != 0
    if not plain or any(character.isspace() for character in address):
        raise PowerError(
            f"Resource {endpoint['name']}: its BMC address is {address or 'empty'}; give the host or the https:// URL."
        )
    return url.hostname, port


def link(resource, *names):
    """Return the address that a resource gives under these keys, empty for none."""
    for name in names:
        resource = resource.get(name) or {}
    return resource.get("@odata.id", "") if isinstance(resource, dict) else ""


def said_by(body):
    """Return the messages in the body of an error."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    details = error.get("@Message.ExtendedInfo") or []
    texts = [item.get("Message") for item in details if isinstance(item, dict) and item.get("Message")]
    return " ".join(texts) or str(error.get("message") or "")


class Bmc:
    """The BMC of one endpoint; its connection is kept between requests."""

    def __init__(self, endpoint, options, context):
        """Keep the settings; ``options``: username, password, credentials, request_timeout_s, retries."""
        self._endpoint = endpoint
        self._retries = options["retries"]
        host, port = host_of(endpoint)
        self._connection = http.client.HTTPSConnection(
            host, port, timeout=options["request_timeout_s"], context=context
        )
        pair = credentials_of(endpoint, options["username"], options["password"], options["credentials"])
        token = base64.b64encode(":".join(pair).encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json", "OData-Version": "4.0"}

    def get(self, path):
        """Return the resource at ``path`` and its entity tag, empty for none."""
        for _hop in range(HOPS):
            status, headers, body = self._request("GET", path)
            if status not in REDIRECTS:
                break
            path = urllib.parse.urlsplit(headers.get("location", "")).path  # never another host
        self._expect(status, body, f"GET {path}")
        if not isinstance(body, dict):
            raise self.error(f"GET {path}", "it answered something that is no Redfish resource")
        return body, headers.get("etag") or body.get("@odata.etag") or ""

    def change(self, method, path, body, etag=""):
        """Send ``body`` by PATCH or POST, bound to the entity tag if there is one."""
        status, _headers, answer = self._request(method, path, body, {"If-Match": etag} if etag else {})
        self._expect(status, answer, f"{method} {path}")

    def close(self):
        """Close the connection."""
        self._connection.close()

    def error(self, asked, found):
        """Return the error that says what was asked of this BMC, and what was found."""
        return PowerError(
            f"Resource {self._endpoint['name']}: the BMC at {self._endpoint['address']} did not do {asked}: {found}."
        )

    def _expect(self, status, body, asked):
        if not 200 <= status < 300:
            hint = "; give its user and password" if status == 401 else ""
            raise self.error(asked, " ".join([f"HTTP {status}", said_by(body)]).strip().rstrip(".") + hint)

    def _request(self, method, path, body=None, more=None):
        """Return status, headers (lower case) and parsed body; asks again while the BMC is busy or not reached."""
        for left in range(self._retries, -1, -1):
            try:
                answer = self._once(method, path, body, more or {})
                if answer[0] not in BUSY or not left:
                    return answer
            except ssl.SSLCertVerificationError as error:
                raise self.error(f"{method} {path}", f"{error}. Trust its authority by ca_path") from error
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if not left or (method == "POST" and not isinstance(error, (ConnectionRefusedError, socket.gaierror))):
                    raise self.error(f"{method} {path}", str(error) or type(error).__name__) from error
            time.sleep(PAUSE_S)
        raise self.error(f"{method} {path}", "it is busy")

    def _once(self, method, path, body, more):
        text = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers, **more, **({"Content-Type": "application/json"} if text else {}))
        self._connection.request(method, path, body=text, headers=headers)
        response = self._connection.getresponse()
        data = response.read(LONGEST)
        names = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            self._connection.close()
        try:
            parsed = json.loads(data) if data else {}
        except ValueError:
            parsed = None
        return response.status, names, parsed
