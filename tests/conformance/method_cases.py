"""What every deployment method must do, one case each: above the `yield` what is asked, below it what must come."""

from __future__ import annotations

from collections.abc import Callable

from tests.conformance.grant_script import SECRET, GrantScript
from tests.conformance.script import Case

HOSTILE_CLIENTS = ("", "*", "../escape", "a\nb")
HOSTILE_PATHS = ("escape", "/srv/../etc", "/srv/a b\n/etc")
BULK = ("e", "b", "d", "a", "c", "f", "h", "g")
QUIET_S = 3


def prepare(s: GrantScript) -> Case:
    """A second prepare changes nothing."""
    again = s.prepare()
    yield
    assert not again.changed, "a second prepare changed something"


def grant(s: GrantScript) -> Case:
    """A grant lets its client in, nobody else, and is in the list; giving it again changes nothing."""
    one = s.grant("one")
    checked, unchanged, early = s.authorize(one, check=True), s.list(), s.attempt(one)
    made, written = s.authorize(one), s.write(one, "client's")
    text, other, found = s.read(one), s.attempt(one, s.target.stranger), s.list()
    forged = s.attempt(one, s.target.stranger, "write", text="stranger's")
    again, checked_again, still, kept = s.authorize(one), s.authorize(one, check=True), s.read(one), s.on_server(one)
    yield
    assert checked.changed, "check mode does not say that it would grant"
    assert s.named(unchanged, one) == [], "check mode gave a grant"
    assert not early.worked, "a client is let in without a grant"
    assert made.changed
    assert written.worked, f"the client of the grant is not let in: {written.known.result}"
    assert text.text == "client's", "the client does not read what it wrote"
    assert not other.worked, "a client without a grant is let in by that of another one"
    assert not forged.worked
    assert kept.text == "client's", "what the client wrote is not in the volume"
    (item,) = listed(s.named(found, one))
    assert item["client"].items() <= one["client"].items(), "the list has another client"
    assert item["client"], "the list does not say for whom"
    assert not found.changed
    assert not again.changed, "a second authorize changed something"
    assert not checked_again.changed
    assert still.text == "client's", "a second authorize lost the client or its data"


def listed(items: list[dict[str, object]]) -> list[dict[str, object]]:
    """The items, which are to be one."""
    assert len(items) == 1, f"the list has {len(items)} grants of the volume, not one"
    return items


def in_use(s: GrantScript) -> Case:
    """Revoking a grant in use ends the client's writes within a bounded time; revoking it again changes nothing."""
    used = s.grant("used")
    s.authorize(used)
    held, log = s.hold(used)
    checked, before, inside = s.revoke(used, check=True), s.list(), s.read(used)
    begun, revoked, ended = s.clock(), s.revoke(used), s.clock()
    first, later, last = s.on_server(used), s.on_server(used, after_s=QUIET_S), s.release(log)
    refused, again, after = s.attempt(used), s.revoke(used), s.list()
    yield
    assert held.worked, f"the client of the grant is not let in: {held.known.result}"
    assert checked.changed, "check mode does not say that it would revoke"
    (item,) = listed(s.named(before, used))
    assert "sessions" in s.target.lacks or item["sessions"] > 0, "a session is not counted"
    assert inside.worked, "check mode shut the client out"
    assert revoked.changed
    assert [item["sessions"] for item in revoked.items] == [0], "revoke does not prove that no session is left"
    assert float(ended.text) - float(begun.text) < s.target.revoke_s, "revoke takes too long"
    assert int(first.text) > 0
    assert later.text == first.text, "the client still writes"
    assert int(last.text) <= int(first.text), "the client believes that it has written more"
    assert not refused.worked, "the client is let in after its grant was revoked"
    assert not again.changed, "a second revoke changed something"
    assert [item["sessions"] for item in again.items] == [0]
    assert s.named(after, used) == [], "the list has a grant that was revoked"


def several(s: GrantScript) -> Case:
    """Two clients share a volume; taking it from one leaves the other alone."""
    mine, theirs = s.grant("shared"), s.grant("shared", s.target.stranger)
    made, both = s.authorize(mine, theirs), [s.read(mine), s.read(theirs)]
    revoked, refused, still, found = s.revoke(mine), s.attempt(mine), s.read(theirs), s.list()
    yield
    assert made.changed
    assert [read.worked for read in both] == [True, True], "not both clients are let in"
    assert revoked.changed
    assert not refused.worked, "the client is let in after its grant was revoked"
    assert still.worked, "revoking one client's grant shut out the other"
    (item,) = listed(s.named(found, mine))
    assert item["client"].items() <= theirs["client"].items()


def read_only(s: GrantScript) -> Case:
    """A read-only grant lets the client read, and not write."""
    fixed = s.grant("fixed", read_only=True)
    made, text, written = s.authorize(fixed), s.read(fixed), s.attempt(fixed, action="write", text="written")
    found, kept = s.list(), s.on_server(fixed)
    yield
    assert made.changed
    assert text.worked, f"the client of the grant is not let in: {text.known.result}"
    assert not written.worked, "a client with a read-only grant can write"
    assert kept.text == ""
    (item,) = listed(s.named(found, fixed))
    assert item.get("read_only", True)


def no_read_only(s: GrantScript) -> Case:
    """A method that cannot grant read-only says so, and grants nothing."""
    fixed = s.grant("fixed", read_only=True)
    refused, found = s.verb("authorize", fixed), s.list()
    yield
    assert refused.failed, "what cannot be done is not refused"
    assert s.named(found, fixed) == []


def bulk(s: GrantScript) -> Case:
    """Results come in the order of the list, each with what became of its grant."""
    grants = [s.grant(name) for name in BULK]
    s.authorize(grants[1])
    made, found = s.authorize(*grants), s.list()
    revoked, left = s.revoke(*reversed(grants)), s.list()
    yield
    paths = [grant["path"] for grant in grants]
    assert [item["path"] for item in made.items] == paths, "results are in another order"
    assert [item["changed"] for item in made.items] == [True, False, *[True] * (len(BULK) - 2)]
    assert sorted(item["path"] for item in s.named(found, *grants)) == sorted(paths), "the list is not what was granted"
    assert [item["path"] for item in revoked.items] == paths[::-1], "results are in another order"
    assert all(item["changed"] and item["sessions"] == 0 for item in revoked.items)
    assert s.named(left, *grants) == []


def bad_object(s: GrantScript) -> Case:
    """One bad object among good ones: nothing is touched."""
    there, new = s.grant("there"), s.grant("new")
    s.authorize(there)
    clients = {
        text: s.verb("authorize", new, there | {"client": dict.fromkeys(there["client"], text)})
        for text in HOSTILE_CLIENTS
    }
    paths = {text: s.verb("authorize", new, there | {"path": text}) for text in HOSTILE_PATHS}
    revoked = s.verb("revoke", there, new | {"path": HOSTILE_PATHS[0]})
    found, still = s.list(), s.read(there)
    yield
    assert [text for text, outcome in {**clients, **paths}.items() if not outcome.failed] == [], "not refused"
    assert revoked.failed
    assert s.named(found, new) == [], "a grant was given although another one cannot be"
    listed(s.named(found, there))
    assert still.worked, "something was touched although one object is bad"


def missing_volume(s: GrantScript) -> Case:
    """A volume that does not exist is not granted, nor are others with it; revoking one is no failure."""
    new = s.grant("new")
    gone = s.missing()
    refused, revoked, found = s.verb("authorize", new, gone), s.verb("revoke", gone), s.list()
    yield
    assert refused.failed, "a volume that does not exist is granted"
    assert s.named(found, new, gone) == [], "a grant was given although another one cannot be"
    assert not revoked.changed


def secret(s: GrantScript) -> Case:
    """A client that claims the name and does not know the secret is refused; no output has the secret."""
    kept = s.grant("kept")
    made, right = s.authorize(kept), s.read(kept)
    wrong, none = s.attempt(kept, secret=SECRET[::-1]), s.attempt(kept, secret="")
    yield
    assert made.changed
    assert right.worked, f"the client of the grant is not let in: {right.known.result}"
    assert not wrong.worked, "a client with a wrong secret is let in"
    assert not none.worked, "a client without a secret is let in"
    assert SECRET not in s.transcript(), "a secret is in the output"


def restart(s: GrantScript) -> Case:
    """Grants are there after a restart of the server, and a revoked one is not."""
    kept, gone = s.grant("kept"), s.grant("gone")
    s.authorize(kept, gone)
    written = s.write(kept, "before")
    s.revoke(gone)
    restarted, prepared, text, refused, found = s.restart(), s.prepare(), s.read(kept), s.attempt(gone), s.list()
    again = s.authorize(kept)
    yield
    assert written.worked
    assert restarted.worked, restarted.known.result
    assert not prepared.failed
    assert text.text == "before", f"a grant is lost at a restart: {text.known.result}"
    assert not refused.worked, "a revoked grant is back after a restart"
    assert len(s.named(found, kept, gone)) == 1, "the list is another one after a restart"
    assert not again.changed


CASES: dict[str, tuple[str, Callable[[GrantScript], Case]]] = {
    "prepare": ("", prepare),
    "grant": ("", grant),
    "in use": ("", in_use),
    "several": ("", several),
    "read only": ("read_only", read_only),
    "no read only": ("not read_only", no_read_only),
    "bulk": ("", bulk),
    "bad object": ("", bad_object),
    "missing volume": ("volumes", missing_volume),
    "secret": ("secret", secret),
    "restart": ("restart", restart),
}
"""What a target must be able to do for a case, and the case."""
