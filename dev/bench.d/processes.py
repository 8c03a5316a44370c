"""What runs while something is measured: workers, the api, and the app that the api is held against."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from servers import TARGET, Failed, environment, say

REFERENCE = Path(__file__).resolve().parent.parent / "reference"
REFERENCE_WORKERS = 2
STOP_WITHIN_S = 60
READY_WITHIN_S = 60
ANSWER_WITHIN_S = 300
# Whatever proxy the environment names, it is not for this machine's own ports.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """Runs for as long as the block does."""

    name = "the process"
    good_ends = (0,)

    def __init__(self, command, env):
        self.log = tempfile.TemporaryFile(mode="w+")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.seek(0)
        log = self.log.read().strip()
        self.log.close()
        if log:
            say(f"{self.name} said:\n{log[-2000:]}")
        if kind is None and self.process.returncode not in self.good_ends:
            raise Failed(f"{self.name} ended with status {self.process.returncode}")

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended unexpectedly")

    def peak_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) / 1024
        raise Failed("no VmHWM")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker(Process):
    """`sensorpipe worker`"""

    name = "the worker"

    def __init__(self, database, topic, **settings):
        super().__init__([TARGET / "sensorpipe", "worker"], environment(database, topic, **settings))


class Listener(Process):
    """A process that answers HTTP on a port of its own."""

    ready_path = "/"

    def __init__(self, command, env, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(command, env)

    def __enter__(self):
        try:
            self.await_ready()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def await_ready(self):
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            self.check()
            try:
                self.get(self.ready_path, timeout=5)
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        raise Failed(f"{self.name} does not answer {self.ready_path} within {READY_WITHIN_S} s")

    def get(self, path, timeout=ANSWER_WITHIN_S):
        with DIRECT.open(self.url + path, timeout=timeout) as answer:
            return answer.read()


class Api(Listener):
    """`sensorpipe api`, without a worker unless one is started besides."""

    name = "the api"
    ready_path = "/readyz"

    def __init__(self, database, topic, **settings):
        self.database, self.topic = database, topic
        port = free_port()
        env = environment(database, topic, HTTP_ADDR=f"127.0.0.1:{port}", **settings)
        super().__init__([TARGET / "sensorpipe", "api"], env, port)


class Reference(Listener):
    """dev/reference under uvicorn"""

    name = "the reference"
    # uvicorn may hand the signal on to itself once it has stopped.
    good_ends = (0, -signal.SIGTERM)
    ready_path = "/openapi.json"

    def __init__(self, database):
        port = free_port()
        command = [os.environ["BENCH_REFERENCE_PYTHON"], "-B", "-m", "uvicorn", "app:app", f"--app-dir={REFERENCE}"]
        options = [f"--workers={REFERENCE_WORKERS}", f"--port={port}", "--no-access-log", "--log-level=warning"]
        super().__init__(command + options, environment(database), port)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
