"""Whoever is told to stop stops, wherever the signal finds them."""

from __future__ import annotations

import signal
import subprocess
import sys

from config.settings import CHECKOUT

# The signal comes as the n-th line is begun of all that runs to wait for it, the standard library's included; where
# there is no n-th line, it comes while the program waits.
PROGRAM = """
import os, signal, sys, threading
from infra import stop_signals

wait, line = stop_signals.listen(), int(sys.argv[1])

def look(_frame, event, _argument):
    global line
    line -= event == "line"
    if line == 0:
        line = -1
        signal.raise_signal(signal.SIGTERM)
    return look

def waiting():
    return wait()

late = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
late.daemon = True
late.start()
sys.settrace(look)
number = waiting()
sys.settrace(None)
print(number)
"""
LINES = 12


def test_a_signal_is_heard_wherever_it_comes():
    for line in range(1, LINES):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(line)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "15\n", "")


OTHER_THREAD = """
import signal, sys, threading, time
from infra import stop_signals

wait = stop_signals.listen()

def struck():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

threading.Thread(target=struck, daemon=True).start()
print(wait())
"""


def test_a_program_stops_whichever_of_its_threads_a_signal_comes_to():
    """The kernel takes any that does not block it; the main thread's wait is not broken by that."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER_THREAD], cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.returncode) == (f"{signal.SIGTERM.value}\n", 0), done.stderr
