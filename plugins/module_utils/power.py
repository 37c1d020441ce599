# Copyright: the openQRM project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all power drivers have in common: verbs on a list of machines, a few at a time, read before and read back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

POLL_S = 0.5
VERBS = ("on", "off", "reset", "status", "boot_device")
ONCE, CONTINUOUS, UNCHANGED = "once", "continuous", "unchanged"


class PowerError(Exception):
    """A machine was not switched as asked; the message names it, what was asked, what was found, and what to do."""


class Driver:
    """What switches machines of one kind. An endpoint is an item of the family's list ``power_endpoints``.

    ``cannot``: the actions that it cannot do, of on, off, reset and boot_device, each with what to do instead.
    """

    cannot: ClassVar[dict] = {}

    def check(self, endpoint):
        """Raise PowerError for an endpoint that cannot be used; nothing is sent to it."""

    def power(self, endpoint):
        """Return what the machine's power is, ``on`` or ``off``."""
        raise NotImplementedError

    def switch(self, endpoint, action):
        """Have the machine do ``on``, ``off`` or ``reset``."""
        raise NotImplementedError

    def boot_device(self, endpoint):
        """Return device and mode of the boot override that is set, as ``pxe once``; empty for none."""
        raise NotImplementedError

    def set_boot_device(self, endpoint, mode):
        """Set the boot override to ``endpoint['device']``, for the next boot or for all: ``mode``."""
        raise NotImplementedError

    def close(self):
        """Give up what is held between requests."""


class Power:
    """Verbs of the family on a list of machines, by one driver."""

    def __init__(self, driver, timeout_s, parallel, boot_override=ONCE):
        """Keep the settings: ``timeout_s`` bounds reading back; ``parallel``: machines worked on at once."""
        self._driver = driver
        self._timeout_s = timeout_s
        self._parallel = max(1, parallel)
        self._mode = boot_override

    def ensure(self, verb, endpoints, check_mode):
        """Do ``verb`` on all machines; return the result with one item per machine.

        Every machine is read before any is changed: PowerError is raised, for all that cannot be read, in one message.
        What fails afterwards does not keep the others from being changed; the result then has ``failed``.
        """
        try:
            return self._ensure(verb, endpoints, check_mode)
        finally:
            self._driver.close()

    def _ensure(self, verb, endpoints, check_mode):
        for endpoint in endpoints:
            self._driver.check(endpoint)
            if verb == "boot_device" and not endpoint.get("device"):
                raise PowerError(f"Resource {endpoint['name']}: verb boot_device needs a device.")
        plans, problems = self._each(lambda endpoint: self._planned(verb, endpoint), endpoints)
        if problems:
            raise PowerError(" ".join(problems))
        if check_mode:
            items = [expected(verb, plan) for plan in plans]
        else:
            items, problems = self._each(lambda plan: self._applied(verb, plan), plans)
            items = [item or plans[place][1] for place, item in enumerate(items)]
        result = {"changed": any(item["changed"] for item in items), "items": items}
        return dict(result, failed=True, msg=" ".join(problems)) if problems else result

    def _each(self, work, things):
        """Return what ``work`` gives for each thing, None where it raises PowerError, and the messages of those."""
        with ThreadPoolExecutor(self._parallel) as pool:
            futures = [pool.submit(work, thing) for thing in things]
        results, problems = [], []
        for future in futures:
            error = future.exception()
            if error is not None and not isinstance(error, PowerError):
                raise error
            results.append(None if error else future.result())
            problems += [str(error)] if error else []
        return results, problems

    def _planned(self, verb, endpoint):
        """Return the endpoint and its item: power now, and whether ``verb`` changes something."""
        power = self._driver.power(endpoint)
        self._refuse(endpoint, verb if verb == "boot_device" else action_for(verb, power))
        item = {"name": endpoint["name"], "power": power, "changed": False}
        if verb == "boot_device" and self._mode != UNCHANGED:
            item["device"] = self._driver.boot_device(endpoint)
            item["changed"] = not fits(item["device"], f"{endpoint['device']} {self._mode}")
        elif verb != "boot_device":
            item["changed"] = action_for(verb, power) != ""
        return endpoint, item

    def _refuse(self, endpoint, action):
        """Raise PowerError for an action that the driver cannot do."""
        if action in self._driver.cannot:
            raise PowerError(f"Resource {endpoint['name']}: {self._driver.cannot[action]}")

    def _applied(self, verb, plan):
        """Return the item of one machine after ``verb`` was done and read back."""
        endpoint, item = plan
        if not item["changed"]:
            return item
        if verb == "boot_device":
            wanted = f"{endpoint['device']} {self._mode}"
            self._driver.set_boot_device(endpoint, self._mode)
            return dict(item, device=self._read_back(endpoint, "boot device", self._driver.boot_device, wanted))
        wanted = "off" if verb == "off" else "on"
        self._driver.switch(endpoint, action_for(verb, item["power"]))
        return dict(item, power=self._read_back(endpoint, "power", self._driver.power, wanted))

    def _read_back(self, endpoint, what, read, wanted):
        """Return what was read once it is what was asked for."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            found = read(endpoint)
            if fits(found, wanted):
                return found
            if time.monotonic() >= deadline:
                raise PowerError(
                    f"Resource {endpoint['name']}: {what} {wanted} was asked for, {endpoint.get('address') or 'it'} "
                    f"still says {found or 'none'} after {self._timeout_s} s."
                )
            time.sleep(POLL_S)


def action_for(verb, power):
    """Return what is to be done for ``verb`` to a machine whose power is ``power``, empty for nothing."""
    if verb == "reset":
        return "reset" if power == "on" else "on"
    return verb if verb in ("on", "off") and verb != power else ""


def fits(found, wanted):
    """Return whether what was found is as wanted: a continuous boot override does for one boot, too."""
    return found in (wanted, wanted.replace(f" {ONCE}", f" {CONTINUOUS}"))


def expected(verb, plan):
    """Return the item that check mode shows for one machine."""
    _endpoint, item = plan
    if verb in ("on", "off", "reset") and item["changed"]:
        return dict(item, power="off" if verb == "off" else "on")
    return item


def endpoint_options(**more):
    """Return the argument spec of an endpoint, with further keys."""
    text = {"type": "str"}
    return {
        "name": {"type": "str", "required": True},
        "address": text,
        "system": text,
        "mac": text,
        "device": {"type": "str", "choices": ["pxe", "disk"]},
        "firmware": {"type": "str", "choices": ["bios", "uefi", ""]},
        **more,
    }


def arguments(endpoint=None, **more):
    """Return the argument spec that all power drivers' modules share, with more options and keys of an endpoint."""
    return {
        "verb": {"type": "str", "required": True, "choices": list(VERBS)},
        "endpoints": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": endpoint_options(**(endpoint or {})),
        },
        "timeout_s": {"type": "int", "default": 60},
        "parallel": {"type": "int", "default": 16},
        **more,
    }


def credentials_of(endpoint, username, password, credentials):
    """Return user and password for one machine: its own where ``credentials`` has them, else those of all."""
    own = credentials.get(endpoint["name"]) or {}
    return own.get("username", username), own.get("password", password)


def bmc_arguments():
    """Return the options that the modules of drivers with BMCs share."""
    return {
        "username": {"type": "str", "default": ""},
        "password": {"type": "str", "default": "", "no_log": True},
        "credentials": {"type": "dict", "default": {}, "no_log": True},
        "boot_override": {"type": "str", "default": ONCE, "choices": [ONCE, CONTINUOUS, UNCHANGED]},
        "request_timeout_s": {"type": "int", "default": 20},
        "retries": {"type": "int", "default": 2},
    }


def carry_out(module, driver):
    """Do what a module's parameters ask for by ``driver``, and end the module."""
    params = module.params
    power = Power(driver, params["timeout_s"], params["parallel"], params.get("boot_override", ONCE))
    try:
        result = power.ensure(params["verb"], params["endpoints"], module.check_mode)
    except PowerError as error:
        module.fail_json(msg=str(error))
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
