"""Waiting for nodes: which reports count."""

from __future__ import annotations

from pathlib import Path

import pytest
from openqrm.errors import DeadlineError
from openqrm.planning import nodes

from tests.support.center import make_center

ITEM = {"resource": "node00001", "epoch": 1, "manifest": "b" * 64, "stage": "up", "deadline_s": 0.1, "kernel": "a" * 64}


@pytest.mark.parametrize(("manifest", "words"), [("b", "the node reports: no init"), ("c", "it reports idle")])
def test_a_failed_order_counts_for_the_start_that_gave_it(tmp_path: Path, manifest: str, words: str) -> None:
    """The first start of an appliance has the epoch 1, as that of another one had that failed on the same machine."""
    center = make_center(tmp_path)
    (name,) = center.add_nodes(1)
    with center.store.write("test", "order") as tx:
        (order,) = tx.give_orders([(name, "assign", 1, manifest * 64)])
        tx.set_order(order, "failed", "no init")
    with pytest.raises(DeadlineError, match=words):
        nodes.wait(center.store, "wait_up", [ITEM | {"boot_id": ""}], "test")
    center.store.close()
