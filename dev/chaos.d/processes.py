"""The processes that are tested: the api and the workers, each with its own way to Kafka and Postgres."""

import os
import re
import signal
import subprocess
import threading

from places import GROUP, LOGS, SENSORPIPE, TOPIC

ENDS_WITHIN_S = 40


class Sensorpipe:
    """One place for a process, which is started again and again there."""

    def __init__(self, servers, client, role, found):
        self.name, self.role, self.found = client, role, found
        self.arguments = []
        self.log = (LOGS / f"{client}.log").open("ab")
        self.environment = environment(servers, client)
        self.process = None
        self.is_meant_to_run = False
        self.is_frozen = False
        self._lock = threading.RLock()
        self._logged_before = 0

    def start(self, *arguments):
        with self._lock:
            self.arguments = [*arguments]
            self.is_meant_to_run = True
            self.is_frozen = False
            self._logged_before = self._logged()
            self.process = subprocess.Popen(
                [SENSORPIPE, self.role, *self.arguments],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment,
            )  # fmt: skip

    def _logged(self):
        return os.fstat(self.log.fileno()).st_size

    def kill(self):
        with self._lock:
            self.is_meant_to_run = False
            self.process.kill()
            self.process.wait()

    def terminate(self):
        """Asks it to stop, and waits until it has."""
        with self._lock:
            self.is_meant_to_run = False
            self.process.send_signal(signal.SIGTERM)
            try:
                status = self.process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.found(f"{self.name} has not ended {ENDS_WITHIN_S} s after SIGTERM")
                return self.kill()
            # Before it has said a word it has not begun, and ends as any process does.
            has_begun = self._logged() > self._logged_before
            if status != 0 and (has_begun or status != -signal.SIGTERM):
                self.found(f"{self.name} ended with status {status} after SIGTERM")
            return None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self):
        if self.is_frozen:
            self.process.send_signal(signal.SIGCONT)
            self.is_frozen = False

    def check(self):
        """A process that ends on its own is a fault of its own; it is started again so that the run goes on."""
        with self._lock:
            if self.is_meant_to_run and self.process.poll() is not None:
                self.found(f"{self.name} ended on its own with status {self.process.returncode}")
                self.start(*self.arguments)

    def end(self):
        if self.process and self.process.poll() is None:
            self.thaw()
            self.terminate()


def environment(servers, client):
    """Nothing of the caller's own settings; paths to Postgres, and to a single broker, through the client's proxies."""
    ports = servers.ports
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return kept | {
        "DATABASE_URL": servers.database_url(client),
        "KAFKA_BROKERS": servers.brokers_of(client),
        "KAFKA_TOPIC": TOPIC,
        "KAFKA_GROUP": GROUP,
        "HTTP_ADDR": f"127.0.0.1:{ports.http}",
        "RUST_BACKTRACE": "1",
    }


def panics():
    """Lines of the logs that tell of one."""
    return [
        f"{file.stem}: {line.strip()}"
        for file in sorted(LOGS.glob("*.log"))
        if re.match(r"worker-|api|audit|migrate", file.stem)
        for line in file.read_text(errors="replace").splitlines()
        if "panicked at" in line
    ]
