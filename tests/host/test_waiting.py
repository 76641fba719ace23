"""What the screen shows while something takes long, and what a second thread makes of errors and signals."""

import signal
import sys
import time

import pytest

from experiments.running import waiting
from experiments.running.cli import AGAIN
from experiments.running.signals import StopSignal
from experiments.running.waiting import Stopped, wait_for


def test_the_result_or_the_error_of_the_work_is_what_comes_back(capsys):
    assert wait_for(lambda: 3, "counting") == 3
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0, "dividing")
    with pytest.raises(SystemExit):
        wait_for(lambda: sys.exit(2), "leaving")
    with pytest.raises(TimeoutError):
        wait_for(lambda: time.sleep(30), "sleeping", most=0.2)
    assert capsys.readouterr().err == ""  # what is done at once is not said


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "_SHOWN_AFTER", 0.1)
    monkeypatch.setattr(waiting, "_LINE_EVERY", 0.3)
    wait_for(lambda: time.sleep(0.9), "compiling")
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4 and all(line in ("compiling: 0 s", "compiling: 1 s") for line in lines)


def test_a_terminal_gets_one_line_that_changes_and_goes(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "_SHOWN_AFTER", 0.1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    wait_for(lambda: time.sleep(0.8), "compiling")
    text = capsys.readouterr().err
    assert "\n" not in text and text.count("\r\x1b[Kcompiling: ") >= 1 and text.endswith("\r\x1b[K")


def test_a_signal_ends_the_wait_and_says_what_follows(capsys):
    with StopSignal() as stop:
        before = stop.consequence
        with pytest.raises(Stopped):
            wait_for(lambda: signal.raise_signal(signal.SIGUSR1) or time.sleep(5), "compiling", stop, "stopping")
        assert stop.exit_code == AGAIN and stop.consequence == before
        assert waiting.anything_given_up()
        with pytest.raises(Stopped):  # one that came before counts, too
            wait_for(lambda: time.sleep(5), "compiling", stop)
    assert capsys.readouterr().err == "SIGUSR1: stopping; again to stop at once\n"
    waiting._given_up.clear()
