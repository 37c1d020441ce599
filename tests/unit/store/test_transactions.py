"""What transactions see of each other, and what happens when the store is held or gone."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from openqrm.errors import InvalidValueError, NotFoundError, StoreError, TransactionLostError
from openqrm.store import Store, open_store

from tests.unit.store.samples import resource


def test_a_reader_sees_one_state(filled: Store) -> None:
    with filled.read() as reader:
        assert reader.count("resource") == {"idle": 3}
        with filled.write("tester", "meanwhile") as writer:
            writer.save([resource(7)])
        assert reader.count("resource") == {"idle": 3}
        assert len(reader.resources()) == 3
    with filled.read() as reader:
        assert reader.count("resource") == {"idle": 4}


def test_a_store_that_stays_locked(url: str, store: Store) -> None:
    other = open_store(url, timeout_s=0.2)
    with store.write("tester", "hold") as writer:
        writer.lock("plans")
        with pytest.raises(StoreError, match="is busy") as caught, other.write("tester", "wait") as waiting:
            waiting.lock("plans")
    assert "Another process holds it" in caught.value.remedy
    with other.write("tester", "now") as waiting:
        waiting.lock("plans")
        waiting.set_setting("x", 1)
    other.close()


def test_writers_wait_for_each_other(store: Store) -> None:
    started, order = threading.Event(), []

    def second() -> None:
        started.set()
        with store.write("second", "x") as writer:
            writer.lock("plans")
            order.append(writer.setting("turn"))

    with store.write("first", "x") as writer:
        writer.lock("plans")
        thread = threading.Thread(target=second)
        thread.start()
        started.wait()
        writer.set_setting("turn", 1)
    thread.join()
    assert order == [1]


def test_threads_share_a_store(filled: Store) -> None:
    def run(number: int) -> None:
        for _ in range(5):
            with filled.write(f"thread {number}", "x") as writer:
                writer.set_setting("turns", writer.setting("turns", 0) if number < 0 else number)
            with filled.read() as reader:
                assert reader.resource("node01").name == "node01"

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with filled.read() as reader:
        assert reader.setting("turns") in range(8)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "openqrm.db").write_bytes(b"something else, long enough to be read as a header" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        open_store(f"sqlite:///{tmp_path}/openqrm.db")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_value_that_postgresql_cannot_hold(filled: Store) -> None:
    with pytest.raises(InvalidValueError, match="NUL"), filled.write("node api", "x") as writer:
        writer.report("node01", boot_id="a\x00b")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_store_whose_server_cut_the_connection(url: str, filled: Store) -> None:
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"  # noqa: S608
    with pytest.raises(TransactionLostError, match="broken off"), filled.write("tester", "x") as writer:
        other = open_store(url)
        with other.read() as reader:
            reader._connection.exec_driver_sql(cut)
        other.close()
        writer.resources()
    with filled.read() as reader:
        assert len(reader.resources()) == 3


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_state_does_not_wait_for_those_who_only_refer_to_the_object(url: str, filled: Store) -> None:
    other = open_store(url, timeout_s=0.5)
    with filled.write("node api", "x") as writer:
        writer.give_orders([("node00", "reboot", 0, "")])
        with other.write("operator", "y") as second:
            assert second.set_state("resource", ["node00"], "off") == [("node00", "idle")]
    other.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_transaction_that_the_server_broke_off_is_done_again(filled: Store) -> None:
    left = [2]

    def work() -> int:
        with filled.write("tester", "count") as writer:
            writer.set_setting("count", writer.setting("count", 0) + 1)
            if left[0]:
                left[0] -= 1
                writer._connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
            return int(writer.setting("count"))

    assert filled.again(work) == 1
    left[0] = 100
    with pytest.raises(TransactionLostError, match="broken off"):
        filled.again(work)
    assert left[0] == 95
    with filled.read() as reader:
        assert reader.setting("count") == 1


def test_what_failed_for_another_reason_is_not_done_again(filled: Store) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        with filled.read() as reader:
            reader.resource("nobody")

    with pytest.raises(NotFoundError):
        filled.again(work)
    assert calls == [1]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_two_that_wait_for_each_other_both_end(filled: Store) -> None:
    """A deadlock: the database breaks one off, which is then done again."""
    both = threading.Barrier(2)

    def run(first: str, second: str) -> None:
        met: list[int] = []

        def work() -> None:
            with filled.write("tester", "cross") as writer:
                writer.set_state("resource", [first], "off")
                if not met:
                    met.append(both.wait(timeout=20))
                writer.set_state("resource", [second], "off")

        filled.again(work)

    threads = [threading.Thread(target=run, args=pair) for pair in (("node00", "node01"), ("node01", "node00"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with filled.read() as reader:
        assert reader.count("resource") == {"idle": 1, "off": 2}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_saving_keeps_what_a_heartbeat_reported_meanwhile(url: str, filled: Store) -> None:
    api = open_store(url)
    with filled.write("operator", "more cores") as writer:
        old = writer.resource("node01")
        with api.write("node api", "heartbeat") as heartbeat:
            heartbeat.report("node01", mode="deployed", stage="up", reported_epoch=7, boot_id="new", kernel="a" * 64)
        (saved,) = writer.save([dataclasses.replace(old, cores=16)])
        assert (saved.mode, saved.reported_epoch) == ("deployed", 7)
    with filled.read() as reader:
        found = reader.resource("node01")
    assert (found.cores, found.mode, found.stage, found.reported_epoch) == (16, "deployed", "up", 7)
    assert found == saved
    api.close()
