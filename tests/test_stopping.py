"""Signals end the program with 128 + their number, soon, with a word, whatever it waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repo_exp import stopping

ROOT = Path(__file__).resolve().parents[1]
START = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from repo_exp import stopping

def ready():
    print("ready", flush=True)

def run(work):
    try:
        with stopping.handled():
            work()
    except stopping.Stopped as stop:
        stopping.end(stop)
"""


def program(code: str, *arguments: str, **environment: str) -> subprocess.Popen:
    """Start a program and wait until it says that it is ready."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA", "REPO_EXP"))}
    started = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=env | {"PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in started.stdout:
        if line.strip() == "ready":
            break
    return started


def stopped(started: subprocess.Popen, *signals: int, between: float = 0.0) -> tuple[int, str, float]:
    """Send signals; return the exit code, what was said, and the seconds that it took."""
    at = time.monotonic()
    for number in signals:
        started.send_signal(number)
        time.sleep(between)
    _, said = started.communicate(timeout=30)
    return started.returncode, said, time.monotonic() - at


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_ends_a_waiting_program_with_its_code_and_a_word(name, code):
    started = program(START + "run(lambda: (ready(), time.sleep(60)))")
    ended, said, seconds = stopped(started, getattr(signal, name))
    assert (ended, seconds < 5) == (code, True)
    assert said.strip() == f"Stopped by {name}. The same command continues from the finished stages."


def test_what_must_not_be_cut_is_finished_and_what_is_kept_is_named():
    code = (
        START
        + """
def work():
    stopping.kept("policy: 3 of 4 steps are kept in store/.work/policy-1")
    stopping.hold()
    ready()
    time.sleep(1)
    print("finished", file=sys.stderr)
    stopping.release()
    print("never said", file=sys.stderr)
run(work)
"""
    )
    ended, said, _ = stopped(program(code), signal.SIGTERM)
    assert ended == 143
    assert said.split("\n\n") == [
        "finished",
        "Stopped by SIGTERM. policy: 3 of 4 steps are kept in store/.work/policy-1. "
        "The same command continues from there.\n",
    ]


@pytest.mark.parametrize(
    "work",
    [
        "stopping.hold(); ready(); time.sleep(60)",
        "threading.Timer(0.5, ready).start(); swallow()",
        # a lock that is held: signals do not cut waiting for it short
        "mutex = ctypes.create_string_buffer(64); lock(mutex); threading.Timer(0.5, ready).start(); lock(mutex)",
    ],
    ids=["a long step", "an except that catches everything", "outside Python"],
)
def test_a_program_that_does_not_get_to_its_end_is_ended(work):
    code = (
        START
        + f"""
import ctypes
stopping.GRACE = 1.0
lock = ctypes.CDLL(None).pthread_mutex_lock

def swallow():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def work():
    {work}

run(work)
"""
    )
    ended, said, seconds = stopped(program(code), signal.SIGTERM)
    assert ended == 143 and 0.8 < seconds < 5
    assert "Stopped by SIGTERM" in said and "Traceback" not in said


def test_a_thread_that_hangs_does_not_hold_the_exit():
    code = (
        START
        + """
def work():
    pool = ThreadPoolExecutor(1)
    waiting = pool.submit(time.sleep, 60)
    ready()
    waiting.result()
run(work)
"""
    )
    ended, _, seconds = stopped(program(code), signal.SIGINT)
    assert ended == 130 and seconds < 5


def test_a_second_signal_ends_at_once_but_the_same_one_sent_twice_does_not():
    code = START + "stopping.REPEATED = 0.4\nrun(lambda: (stopping.hold(), ready(), time.sleep(2), stopping.release()))"
    ended, _, seconds = stopped(program(code), signal.SIGTERM, signal.SIGINT, between=0.7)
    assert ended == 130 and seconds < 1.9
    ended, _, seconds = stopped(program(code), signal.SIGTERM, signal.SIGTERM, between=0.05)
    assert ended == 143 and seconds > 1.5


def test_nohup_is_respected_and_handlers_are_put_back():
    before = {each: signal.getsignal(each) for each in stopping.SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.handled():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {each: signal.getsignal(each) for each in stopping.SIGNALS} == before


def test_a_forked_child_does_not_stop_its_parent():
    with stopping.handled():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        time.sleep(0.1)
        assert stopping._state.asked is None


COMMAND = """
import sys, time, types
module = types.ModuleType("repo_exp.stages.pipeline")

def run(config, **named):
    print("ready", flush=True)
    time.sleep(60)

module.run = run
sys.modules["repo_exp.stages.pipeline"] = module
import repo_exp.stages
repo_exp.stages.pipeline = module
from repo_exp.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("arguments", [["seed=1"], ["-m", "seed=0,1,2"]], ids=["a run", "a whole sweep"])
def test_a_signal_ends_a_run_and_a_whole_sweep(tmp_path, arguments):
    places = [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]
    started = program(COMMAND, "model=tiny", *arguments, *places)
    ended, said, seconds = stopped(started, signal.SIGTERM)
    assert ended == 143 and seconds < 8
    assert "Traceback" not in said and said.strip().startswith("Stopped by SIGTERM.")
    assert not (tmp_path / "sweep" / "1").exists()


HANGS = """
import socket, threading

def serve(answered):
    \"\"\"Refuse so many requests, then take the others and never say a word.\"\"\"
    listening = socket.create_server(("127.0.0.1", 0))
    taken = []

    def work():
        while True:
            connection, _ = listening.accept()
            taken.append(connection)
            if len(taken) <= answered:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 500 No\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
                connection.close()
            elif len(taken) == answered + 1:
                print("ready", flush=True)

    threading.Thread(target=work, daemon=True).start()
    return listening.getsockname()[1]
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_judge_that_hangs_does_not_hold_a_real_run_and_the_finished_updates_are_kept(tmp_path, name, code):
    """Four requests of the first update are refused; those of the second hang. W&B runs beside it, offline."""
    from tests.stages.conftest import SMALL

    command = (
        HANGS
        + """
import sys
port = serve(4)
sys.argv.append(f"judge.base_url=http://127.0.0.1:{port}/v1")
from repo_exp.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""
    )
    options = [
        "logger=wandb",
        "judge=openai",
        "judge.model=m",
        "judge.retries=0",
        "reward.max_missing=1.0",
        "evaluation.validation_every=0",
    ]
    places = [f"hydra.run.dir={tmp_path}/run", f"store={tmp_path}/store", "trainer.checkpoint_every=100"]
    kept = [each for each in SMALL if not each.startswith(("logger", "trainer", "evaluation.validation_every"))]
    started = program(command, *kept, *options, *places, NO_PROXY="127.0.0.1", WANDB_MODE="offline")
    ended, said, seconds = stopped(started, getattr(signal, name))
    assert (ended, seconds < 10) == (code, True), said
    assert "Traceback" not in said
    assert f"Stopped by {name}. policy: 1 of 2 steps are kept in" in said
    assert len(list((tmp_path / "store" / ".work").glob("policy-*/last.ckpt"))) == 1
