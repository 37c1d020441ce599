"""What every storage type must do, one case each: above the `yield` what is asked, below it what must come of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from tests.conformance.script import Case, Script

HOSTILE_NAMES = (
    "../escape", "a/b", "/etc", "", ".", "..", ".hidden", "-rf", "a b", "a\nb", "$(reboot)", "a;reboot", "a@b", "UPPER",
    "näme", "x" * 64,
)  # fmt: skip
HOSTILE_LOCATIONS = ("", "../escape", "-rf", "a b\nc", "$(reboot)", "/")
BULK = ("e", "b", "d", "a", "c")


def prepare(s: Script) -> Case:
    """A second prepare changes nothing; check mode works."""
    outcomes = [s.prepare(check=True), s.prepare(), s.prepare(), s.prepare(check=True)]
    yield
    assert [outcome.failed for outcome in outcomes] == [""] * 4
    assert not outcomes[2].changed, "a second prepare changed something"
    assert not outcomes[3].changed


def create(s: Script) -> Case:
    """Creation in check mode, for real, and again, which keeps what was written."""
    one, two = s.volumes("one", "two")
    checked = s.verb("create", one, two, check=True)
    unchanged = s.list()
    made = s.verb("create", one, two)
    s.write(one, "kept")
    again, checked_again = s.verb("create", one, two), s.verb("create", one, two, check=True)
    text, size = s.read(one), s.size(one)
    yield
    assert checked.changed, "check mode does not say that it would create"
    assert s.named(unchanged) == {}, "check mode created volumes"
    assert made.changed
    assert not again.changed, "a second creation changed something"
    assert not checked_again.changed
    assert text.text == "kept", "a second creation lost what was written"
    assert [item["path"] for item in made.items] == [s.target.path(one), s.target.path(two)]
    if s.target.presents == "block":
        assert int(size.text) >= one["size_mib"] << 20


def listing(s: Script) -> Case:
    """The list has exactly what was made, where it is, and how large."""
    before, volumes = s.list(), s.volumes("one", "two", "three")
    s.verb("create", *volumes)
    s.verb("remove", volumes[1])
    after, checked = s.list(), s.list(check=True)
    yield
    assert s.named(before) == {}
    assert not after.changed
    found = s.named(after)
    assert sorted(found) == ["one", "three"], "the list is not what was made"
    assert {item["name"] for item in before.items} <= {item["name"] for item in after.items}, "others are missing"
    for volume, item in ((volumes[0], found["one"]), (volumes[2], found["three"])):
        assert item["path"] == s.target.path(volume)
        assert item["location"] == s.target.location
        assert isinstance(item["size_mib"], int)
        assert item["size_mib"] >= s.target.size_mib
        assert item["used_mib"] is None or isinstance(item["used_mib"], int)
    assert s.named(checked) == found, "check mode lists something else"


def space(s: Script) -> Case:
    """How full the location is, which changes nothing."""
    found, checked = s.space(), s.space(check=True)
    yield
    assert not found.changed
    (item,) = found.items
    assert item["location"] == s.target.location
    assert item["what"]
    assert item["total_mib"] >= item["used_mib"] + item["free_mib"] - 1 >= 0
    assert item["used_mib"] >= 0 <= item["free_mib"]
    assert 0 <= item["used_percent"] <= 100
    assert len(checked.items) == 1, "check mode does not tell it"


def bulk(s: Script) -> Case:
    """Results come in the order of the list, each with what became of its volume."""
    volumes = s.volumes(*BULK)
    s.verb("create", volumes[1])
    made, found = s.verb("create", *volumes), s.list()
    removed = s.verb("remove", *reversed(volumes))
    yield
    assert [item["name"] for item in made.items] == [v["name"] for v in volumes], "results are in another order"
    assert [item["changed"] for item in made.items] == [True, False, True, True, True]
    assert sorted(s.named(found)) == sorted(BULK)
    assert [item["name"] for item in removed.items] == [v["name"] for v in reversed(volumes)]


def archive(s: Script) -> Case:
    """An archive of the controller fills a new volume, and one that exists is left alone."""
    (s.directory / "content").mkdir(exist_ok=True)
    (s.directory / "content/release").write_text("1.0", encoding="utf-8")
    file = s.directory / "content.tar"
    subprocess.run(["tar", "-C", str(s.directory / "content"), "-cf", str(file), "."], check=True, timeout=60)
    volume = s.volume("filled", archive=str(file))
    checked, made = s.verb("create", volume, check=True), s.verb("create", volume)
    s.write(volume, "kept")
    again, text, release = s.verb("create", volume), s.read(volume), s.read(volume, "release")
    yield
    assert checked.changed
    assert made.changed
    assert not again.changed
    assert text.text == "kept"
    if s.target.presents == "filesystem":
        assert release.text == "1.0", "what the archive holds is not in the volume"


def clone(s: Script) -> Case:
    """A clone begins as its source and shares no write with it, in either direction."""
    source, first, second = s.volume("source"), s.volume("first"), s.volume("second")
    first["source"] = second["source"] = source["name"]
    s.verb("create", source)
    s.write(source, "old")
    checked, unchanged = s.verb("clone", first, check=True), s.list()
    made, found = s.verb("clone", first, second), s.list()
    text = s.read(first)
    s.write(first, "clone's")
    in_source, in_second = s.read(source), s.read(second)
    s.write(source, "source's")
    in_first, again = s.read(first), s.verb("clone", first, second)
    kept = s.read(first)
    yield
    assert checked.changed
    assert sorted(s.named(unchanged)) == ["source"], "check mode cloned"
    assert made.changed
    assert sorted(s.named(found)) == ["first", "second", "source"]
    assert s.named(found)["first"]["path"] == s.target.path(first)
    assert text.text == "old", "a clone is not what its source was"
    assert in_source.text == "old", "a write to a clone shows in its source"
    assert in_second.text == "old", "a write to a clone shows in another one"
    assert in_first.text == "clone's", "a write to the source shows in its clone"
    assert not again.changed
    assert kept.text == "clone's", "a second cloning lost what was written"


def snapshot(s: Script) -> Case:
    """A snapshot stays as it was, and its clones can be written."""
    source, taken, copy = s.volume("source"), s.volume("taken"), s.volume("copy")
    taken["source"], copy["source"] = source["name"], taken["name"]
    s.verb("create", source)
    s.write(source, "old")
    checked, unchanged = s.verb("snapshot", taken, check=True), s.list()
    made = s.verb("snapshot", taken)
    s.write(source, "new")
    text, again = s.read(taken), s.verb("snapshot", taken)
    kept, found = s.read(taken), s.list()
    cloned, written = s.verb("clone", copy), s.read(copy)
    s.write(copy, "own")
    own, last = s.read(copy), s.read(taken)
    yield
    assert checked.changed
    assert sorted(s.named(unchanged)) == ["source"], "check mode took a snapshot"
    assert made.changed
    assert text.text == "old", "a write to the source shows in its snapshot"
    assert not again.changed
    assert kept.text == "old", "a second snapshot took the place of the first"
    assert sorted(s.named(found)) == ["source", "taken"]
    if s.target.can("clone"):
        assert cloned.changed
        assert (written.text, own.text, last.text) == ("old", "own", "old")


def resize(s: Script) -> Case:
    """A volume grows and keeps what it holds; it does not shrink."""
    volume = s.volume("grown")
    larger = volume | {"size_mib": 2 * volume["size_mib"]}
    s.verb("create", volume)
    s.write(volume, "kept")
    before = s.list()
    checked, unchanged = s.verb("resize", larger, check=True), s.list()
    grown, found = s.verb("resize", larger), s.list()
    again, text, size = s.verb("resize", larger), s.read(volume), s.size(volume)
    shrunk, after = s.verb("resize", volume), s.list()
    missing = s.verb("resize", s.odd(name=volume["name"] + "x"))
    yield
    assert checked.changed
    assert s.named(unchanged) == s.named(before), "check mode resized"
    assert grown.changed
    assert s.named(found)["grown"]["size_mib"] >= larger["size_mib"]
    assert not again.changed
    assert text.text == "kept", "growing lost what was written"
    if s.target.presents == "block":
        assert int(size.text) >= larger["size_mib"] << 20
    assert shrunk.failed, "shrinking is not refused"
    assert s.named(after)["grown"]["size_mib"] == s.named(found)["grown"]["size_mib"]
    assert missing.failed, "resizing a volume that does not exist is not refused"


def remove(s: Script) -> Case:
    """A removed volume is gone; a second removal changes nothing."""
    one, two = s.volumes("one", "two")
    s.verb("create", one, two)
    s.write(two, "kept")
    checked, unchanged = s.verb("remove", one, check=True), s.list()
    removed, again, checked_again = s.verb("remove", one), s.verb("remove", one), s.verb("remove", one, check=True)
    there, found, text = s.exists(one), s.list(), s.read(two)
    new = s.verb("create", one)
    empty = s.read(one)
    yield
    assert checked.changed
    assert sorted(s.named(unchanged)) == ["one", "two"], "check mode removed"
    assert removed.changed
    assert not again.changed, "a second removal changed something"
    assert not checked_again.changed
    assert not there.worked, "the volume is still where it was"
    assert sorted(s.named(found)) == ["two"]
    assert text.text == "kept"
    assert new.changed
    assert empty.text == "", "a new volume holds what a removed one of its name held"


def removed_source(s: Script) -> Case:
    """Removing the source of a clone is refused, or leaves the clone whole."""
    source, copy = s.volume("source"), s.volume("copy")
    copy["source"] = source["name"]
    s.verb("create", source)
    s.write(source, "old")
    s.verb("clone", copy)
    removed, found, text = s.verb("remove", source), s.list(), s.read(copy)
    yield
    assert sorted(s.named(found)) == (["copy", "source"] if removed.failed else ["copy"])
    assert text.text == "old", "a clone lost its content with its source"


def bad_object(s: Script) -> Case:
    """One bad object among good ones: nothing is touched."""
    there, new = s.volume("there"), s.volume("new")
    s.verb("create", there)
    s.write(there, "kept")
    before = s.list()
    bad = s.odd(name="../escape")
    created = s.verb("create", new, bad)
    removed = s.verb("remove", there, bad)
    twice = s.verb("create", new, new)
    cloned = s.verb("clone", new | {"source": there["name"]}, s.odd(name=new["name"] + "x", source="missing"))
    after, text = s.list(), s.read(there)
    yield
    assert created.failed
    assert removed.failed
    assert s.named(after) == s.named(before), "something was touched although one object is bad"
    assert twice.failed, "a volume that is in the list twice is not refused"
    assert cloned.failed, "a clone of what does not exist is not refused"
    assert text.text == "kept"


def hostile_names(s: Script) -> Case:
    """Names and locations that are none are refused by every verb that changes something."""
    good = s.volume("good")
    before = s.list()
    created = {name: s.verb("create", good, s.odd(name=name)) for name in HOSTILE_NAMES}
    removed = {name: s.verb("remove", s.odd(name=name)) for name in HOSTILE_NAMES[:3]}
    located = {
        location: s.verb("create", good, good | {"name": good["name"] + "x", "location": location})
        for location in HOSTILE_LOCATIONS
    }
    after = s.list()
    yield
    assert s.named(after) == s.named(before), "a hostile name does not keep the good volume from being made"
    assert [name for name, outcome in {**created, **removed}.items() if not outcome.failed] == []
    assert [location for location, outcome in located.items() if not outcome.failed] == []


def lacking(s: Script) -> Case:
    """What the type or this location cannot do is refused before anything is touched."""
    source, new = s.volume("source"), s.volume("new")
    new["source"] = source["name"]
    s.verb("create", source)
    before = s.list()
    objects = {"clone": new, "snapshot": new, "resize": source | {"size_mib": 2 * source["size_mib"]}}
    refused = {verb: s.verb(verb, item) for verb, item in objects.items() if not s.target.can(verb)}
    after = s.list()
    yield
    assert [verb for verb, outcome in refused.items() if not outcome.failed] == [], "what cannot be done is not refused"
    assert s.named(after) == s.named(before)


CASES: dict[str, tuple[str, Callable[[Script], Case]]] = {
    "prepare": ("", prepare),
    "create": ("", create),
    "listing": ("", listing),
    "space": ("", space),
    "bulk": ("", bulk),
    "archive": ("", archive),
    "clone": ("clone", clone),
    "snapshot": ("snapshot", snapshot),
    "resize": ("resize", resize),
    "remove": ("", remove),
    "removed source": ("clone", removed_source),
    "bad object": ("", bad_object),
    "hostile names": ("", hostile_names),
    "lacking": ("", lacking),
}
"""The capability that a case needs, and the case."""
