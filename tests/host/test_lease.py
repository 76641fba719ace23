"""A run directory where the file system has no locks: one holder at a time, and none for ever."""

import errno
import fcntl
import os
import threading
import time

import pytest

from experiments.running import cli, lease, rundir
from tests.host.test_cli import error_line


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lease, "SETTLES", 0.1)


def test_one_at_a_time_and_free_at_the_end(tmp_path):
    path = tmp_path / "lease"
    assert not lease.is_held(path)
    with lease.hold(path):
        assert lease.is_held(path)
        with pytest.raises(lease.Taken, match=f"pid {os.getpid()}"), lease.hold(path):
            pass
    assert not lease.is_held(path) and not list(tmp_path.iterdir())


def test_it_is_renewed_and_expires_when_nobody_does(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRES", 0.6)
    monkeypatch.setattr(lease, "RENEWED", 0.1)
    path = tmp_path / "lease"
    with lease.hold(path):
        time.sleep(1.2)
        assert lease.is_held(path)
    path.write_text("dead pid 1 x")  # its machine is gone
    assert lease.is_held(path)
    time.sleep(0.8)
    with lease.hold(path):
        assert lease.is_held(path)
    assert not path.exists()


def test_of_several_that_take_an_expired_one_one_has_it(tmp_path):
    path = tmp_path / "lease"
    path.write_text("dead pid 1 x")
    os.utime(path, (1, 1))
    had, over = [], threading.Event()

    def take():
        try:
            with lease.hold(path):
                had.append(True)
                over.wait(5)
        except lease.Taken:
            had.append(False)
            if len(had) == 8:
                over.set()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(had) < 8:
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join()
    assert sum(had) == 1


def test_who_lost_an_expired_lease_does_not_renew_or_remove_another_s(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    path = tmp_path / "lease"
    with lease.hold(path):
        path.write_text("another pid 2 y")
        os.utime(path, (1, 1))
        time.sleep(0.2)
        assert path.stat().st_mtime == 1
    assert path.read_text() == "another pid 2 y"


def test_a_run_directory_without_locks_has_a_lease(tmp_path, monkeypatch, capsys):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with rundir.lock(tmp_path):
        assert rundir.is_held(tmp_path)
        with pytest.raises(SystemExit) as ended, rundir.lock(tmp_path):
            pass
        assert ended.value.code == cli.LOCKED and f"pid {os.getpid()}" in error_line(capsys)
    assert not rundir.is_held(tmp_path)
    with rundir.lock(tmp_path):
        pass
