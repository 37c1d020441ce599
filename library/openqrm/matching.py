"""Choosing resources: at least the sizes, exactly type and architecture, all tags; the least waste first.

Pure functions. `openqrm.store.Reader.candidates` applies the same rule in SQL, so that a large fleet is not read to
start one appliance; a test holds the two together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from openqrm.errors import NoResourceError
from openqrm.model import Requirements, Resource

Member = tuple[str, int]
Wanted = tuple[str, int, Requirements]
SIZES = (("cores", "cores", ""), ("memory_mib", "memory", " MiB"), ("disk_mib", "disk", " MiB"))
REMEDY = "Lower what the appliance requires, or free or add a resource."


def waste_order(resource: Resource) -> tuple[int, int, int, int, str]:
    """The sort key that puts the smallest resource first; the name decides between equals."""
    return resource.memory_mib, resource.cores, resource.disk_mib, len(resource.nics), resource.name


def spread_value(resource: Resource, key: str) -> str:
    """The resource's value of an anti-affinity key, as `r1` of `rack:r1`; empty if it has none."""
    values = sorted(tag.partition(":")[2] for tag in resource.tags if tag.startswith(f"{key}:"))
    return values[0] if values else ""


def fits(requirements: Requirements, resource: Resource) -> bool:
    """Whether the hardware, tags and name are what is required; its state and the other members are not asked."""
    return (
        resource.type == requirements.type
        and resource.arch == requirements.arch
        and resource.cores >= requirements.cores
        and resource.memory_mib >= requirements.memory_mib
        and resource.disk_mib >= requirements.disk_mib
        and len(resource.nics) >= requirements.nics
        and requirements.tags <= resource.tags
        and requirements.resource in ("", resource.name)
        and (not requirements.anti_affinity or bool(spread_value(resource, requirements.anti_affinity)))
    )


def choose(
    requirements: Requirements, candidates: Iterable[Resource], taken_spread: Set[str] = frozenset()
) -> Resource:
    """The fitting candidate that wastes least. `taken_spread`: values of the anti-affinity key that other members have.

    Raises: NoResourceError.
    """
    listed = list(candidates)
    key = requirements.anti_affinity
    found = [resource for resource in listed if fits(requirements, resource)]
    free = [resource for resource in found if not key or spread_value(resource, key) not in taken_spread]
    if not free:
        raise explain_miss(requirements, listed, taken_spread=taken_spread)
    return min(free, key=waste_order)


def assign_members(
    wanted: Sequence[Wanted],
    candidates: Collection[Resource],
    *,
    taken_spread: Mapping[str, Set[str]] | None = None,
    everything: Callable[[], Iterable[Resource]] | None = None,
) -> dict[Member, Resource]:
    """A resource of its own for every (appliance, member, requirements), by (appliance, member).

    Members with the fewest fitting candidates choose first, so that those that can take any do not take theirs. Where
    that leaves a member without, it is tried again with those first who can spare the fewest of what fits them.
    `taken_spread`: appliance -> values of its anti-affinity key that its running members have. `everything` gives all
    resources, to explain a miss; it is not called otherwise.
    Raises: NoResourceError for the first member that gets none.
    """
    groups: dict[Requirements, list[Member]] = defaultdict(list)
    for appliance, member, requirements in wanted:
        groups[requirements].append((appliance, member))
    ordered = sorted(candidates, key=waste_order)
    fitting = _fitting(groups, ordered)
    # Both sorts are stable: else it is the order of `wanted`.
    fewest = sorted(groups, key=lambda item: len(fitting[item]))
    sparing = sorted(fewest, key=lambda item: len(fitting[item]) - len(groups[item]))
    picks, missed = _serve(fewest, groups, fitting, taken_spread or {})
    if missed:
        other, missed_again = _serve(sparing, groups, fitting, taken_spread or {})
        if not missed_again:
            return other.chosen
        resources = list(everything()) if everything else ordered
        spread = picks.spread.get(missed[0], set())
        raise explain_miss(
            next(row[2] for row in wanted if row[:2] == missed),
            resources,
            appliance=missed[0],
            taken=picks.holders(),
            taken_spread=spread,
        )
    return picks.chosen


def _serve(
    order: Sequence[Requirements],
    groups: Mapping[Requirements, Sequence[Member]],
    fitting: Mapping[Requirements, Sequence[Resource]],
    taken_spread: Mapping[str, Set[str]],
) -> tuple[_Picks, Member | None]:
    """What is chosen where requirements are served in this order, and the first member that gets none."""
    picks = _Picks({name: set(values) for name, values in taken_spread.items()})
    for requirements in order:
        if missed := picks.serve(requirements, groups[requirements], fitting[requirements]):
            return picks, missed
    return picks, None


def _fitting(groups: Iterable[Requirements], ordered: Sequence[Resource]) -> dict[Requirements, list[Resource]]:
    """What fits each of the requirements. Those that name their resource, often many, look at that one only."""
    named = {resource.name: [resource] for resource in ordered}
    return {
        wanted: [r for r in (named.get(wanted.resource, []) if wanted.resource else ordered) if fits(wanted, r)]
        for wanted in groups
    }


@dataclass
class _Picks:
    """What has been chosen so far. `spread`: appliance -> values of its anti-affinity key that are taken."""

    spread: dict[str, set[str]]
    chosen: dict[Member, Resource] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def serve(
        self, requirements: Requirements, members: Sequence[Member], fitting: Sequence[Resource]
    ) -> Member | None:
        """Chooses for members with equal requirements, in one pass per appliance; the first that gets none."""
        free = [resource for resource in fitting if resource.name not in self.taken]
        start = 0
        for appliance, numbers in _by_appliance(members).items():
            while start < len(free) and free[start].name in self.taken:
                start += 1
            position = start
            for member in numbers:
                position = self._next(requirements.anti_affinity, appliance, free, position)
                if position == len(free):
                    return appliance, member
                self._take((appliance, member), requirements.anti_affinity, free[position])
        return None

    def holders(self) -> dict[str, str]:
        """Resource -> the member that has been given it."""
        return {resource.name: f"{appliance} member {member}" for (appliance, member), resource in self.chosen.items()}

    def _next(self, key: str, appliance: str, free: Sequence[Resource], position: int) -> int:
        """The position of the next resource that the appliance may take. What it passes it could never take later."""
        barred = self.spread.get(appliance, set())
        while position < len(free):
            resource = free[position]
            if resource.name not in self.taken and not (key and spread_value(resource, key) in barred):
                break
            position += 1
        return position

    def _take(self, member: Member, key: str, resource: Resource) -> None:
        self.chosen[member] = resource
        self.taken.add(resource.name)
        if key:
            self.spread.setdefault(member[0], set()).add(spread_value(resource, key))


def _by_appliance(members: Iterable[Member]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for appliance, member in members:
        found[appliance].append(member)
    return found


def explain_miss(
    requirements: Requirements,
    all_resources: Iterable[Resource],
    *,
    appliance: str = "",
    taken: Mapping[str, str] | None = None,
    taken_spread: Set[str] = frozenset(),
) -> NoResourceError:
    """The error that names the resource that lacks least, and everything it lacks.

    `taken`: resource -> who is being given it by the same plan; `taken_spread` as for `choose`.
    """
    whom = f" appliance {appliance}" if appliance else ""
    resources = [r for r in all_resources if requirements.resource in ("", r.name)]
    if not resources:
        pinned = f"resource {requirements.resource} does not exist"
        found = pinned if requirements.resource else "there is no resource yet"
        remedy = "Name another one." if requirements.resource else "Boot a machine from the network first."
        return NoResourceError(f"No idle resource fits{whom}: {found}.", remedy=remedy)
    judged = [(_lacks(requirements, resource, taken or {}, taken_spread), resource) for resource in resources]
    lacks, nearest = min(judged, key=lambda pair: (len(pair[0]), sum(size for _, size in pair[0]), pair[1].name))
    listed = "; ".join(text for text, _ in lacks) or "taken since"
    return NoResourceError(f"No idle resource fits{whom}: nearest is {nearest.name}: {listed}.", remedy=REMEDY)


def _lacks(
    wanted: Requirements, resource: Resource, taken: Mapping[str, str], taken_spread: Set[str]
) -> list[tuple[str, float]]:
    """What the resource lacks, each with how far it is off, from 0 (nearly there) to 1."""
    sizes = [(label, getattr(resource, name), getattr(wanted, name), unit) for name, label, unit in SIZES]
    sizes.append(("NICs", len(resource.nics), wanted.nics, ""))
    short = [size for size in sizes if size[1] < size[2]]
    found = [(f"{label} {has}{unit} of {want} wanted", 1 - has / want) for label, has, want, unit in short]
    for label in ("type", "arch"):
        has, want = getattr(resource, label), getattr(wanted, label)
        if has != want:
            found.append((f"{label} {has}, {want} wanted", 1.0))
    found += [(f"tag {tag} missing", 1.0) for tag in sorted(wanted.tags - resource.tags)]
    return found + _spread_lacks(wanted.anti_affinity, resource, taken_spread) + _held(resource, taken)


def _spread_lacks(key: str, resource: Resource, taken_spread: Set[str]) -> list[tuple[str, float]]:
    value = spread_value(resource, key) if key else ""
    if key and not value:
        return [(f"tag {key}:... missing", 1.0)]
    return [(f"another member is in {key}:{value}", 1.0)] if value in taken_spread else []


def _held(resource: Resource, taken: Mapping[str, str]) -> list[tuple[str, float]]:
    found = [] if resource.state == "idle" else [(f"state {resource.state}", 0.5)]
    if resource.name in taken:
        found.append((f"goes to {taken[resource.name]}", 0.5))
    return found if resource.monitored else [*found, ("not monitored", 0.5)]
