"""What calls of operators do: the same plans and playbooks as the command line's, in threads of this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from openqrm import desired
from openqrm.errors import ApplyError, OpenqrmError
from openqrm.operatorapi.bodies import Job
from openqrm.planning import changes
from openqrm.planning.owner import owner_of
from openqrm.runner import RunResult, run_playbook

if TYPE_CHECKING:
    from openqrm.datacenter import Datacenter

# Runs of ansible-playbook at once; further ones wait.
RUNS = 4
log = logging.getLogger("openqrm.nodeapi")


class Work:
    """Plans and runs for operators. A run belongs to this process: one that it leaves unfinished is taken up again."""

    def __init__(self, center: Datacenter) -> None:
        self.center = center
        self._cancel = threading.Event()
        self._runs = ThreadPoolExecutor(RUNS, thread_name_prefix="run")

    def carry_out(
        self, verb: str, arguments: Mapping[str, object], actor: str, *, playbook: str, check: bool = False
    ) -> Job:
        """Plans a change and lets it be applied; what cannot work is refused now. Raises: OpenqrmError."""
        prepared = changes.prepare(self.center, verb, arguments, owner=owner_of(), actor=actor, check=check)
        if prepared.plan and not check:
            variables = {**arguments, "openqrm_plans": {verb: prepared.plan}}
            # A restart plans its second half while it runs, so that its hosts are not those of the first plan alone.
            plan = prepared.plan if playbook != "appliance_restart" else None
            self._runs.submit(self._apply, playbook, variables, plan, actor)
        return Job(plan=prepared.plan, lines=list(prepared.lines), unchanged=dict(prepared.unchanged), check=check)

    def change(self, kind: str, verb: str, entries: Sequence[Mapping[str, Any]], actor: str) -> dict[str, Any]:
        """Makes or changes (`create`), or removes (`remove`), objects. Raises: ApplyError."""
        with self.center.store.read() as reader:
            rule = desired.present if verb == "create" else desired.absent
            rule(reader, lambda: self.center.types, kind, list(entries))
        wanted: object = list(entries) if verb == "create" else [str(entry["name"]) for entry in entries]
        result = self._run(f"{kind}_{verb}", {f"{kind}s": wanted}, None, actor)
        if not result.ok:
            raise ApplyError(result.errors[-1] if result.errors else f"The playbook {kind}_{verb} failed.")
        report = result.stats.get("openqrm")
        found = dict(report) if isinstance(report, Mapping) else {}
        return {"changed": bool(found.get("changed", result.changed)), "objects": list(found.get(f"{kind}s", []))}

    def close(self) -> None:
        """Ends all runs; their plans are taken up by whoever does the same again."""
        self._cancel.set()
        self._runs.shutdown(wait=True, cancel_futures=True)

    def _run(self, playbook: str, variables: Mapping[str, object], plan: int | None, actor: str) -> RunResult:
        return run_playbook(self.center.config, playbook, variables, plan=plan, cancel=self._cancel, actor=actor)

    def _apply(self, playbook: str, variables: Mapping[str, object], plan: int | None, actor: str) -> None:
        """Runs the playbook; its outcome is in the plan's journal."""
        try:
            result = self._run(playbook, variables, plan, actor)
        except (OpenqrmError, OSError) as error:
            log.error("%s for %s: %s", playbook, actor, error)
            return
        last = result.errors[-1] if result.errors else ""
        log.log(logging.INFO if result.ok else logging.ERROR, "%s for %s: %s %s", playbook, actor, result.status, last)
