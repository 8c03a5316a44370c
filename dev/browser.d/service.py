"""An api and a worker of the tests' own, on the services that are up."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

READY_WITHIN_S = 60
SENSORPIPE = os.environ["SENSORPIPE"]
LOAD = os.environ["LOAD"]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Process:
    """A role of sensorpipe, with its log beside the others'."""

    def __init__(self, role: str, **environment: str):
        self.role = role
        self.environment = {**os.environ, **environment}
        self.process = None

    def start(self) -> None:
        with open(f"{os.environ['LOGS']}/browser-check-{self.role}.log", "a") as log:
            self.process = subprocess.Popen(
                [SENSORPIPE, self.role], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


ADDRESS = f"127.0.0.1:{free_port()}"
URL = f"http://{ADDRESS}"
API = Process("api", HTTP_ADDR=ADDRESS)
WORKER_ADDRESS = f"127.0.0.1:{free_port()}"
WORKER = Process("worker", METRICS_ADDR=WORKER_ADDRESS)


@contextlib.contextmanager
def running():
    subprocess.run([SENSORPIPE, "migrate"], check=True, capture_output=True)
    try:
        WORKER.start()
        API.start()
        wait_until_ready(ADDRESS)
        wait_until_ready(WORKER_ADDRESS)
        yield
    finally:
        API.stop()
        WORKER.stop()


def wait_until_ready(address: str) -> None:
    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    until(is_ready, READY_WITHIN_S, f"{address} is ready")


def until(is_so, seconds: float, what: str):
    """Looks again and again until it is so, and answers what it then is."""
    deadline = time.monotonic() + seconds
    while True:
        found = is_so()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def call(method: str, path: str, body=None, headers=None):
    """What the api answers to JSON; lists of readings are sent as NDJSON."""
    headers = dict(headers or {})
    data = None
    if isinstance(body, list):
        data = "\n".join(json.dumps(item) for item in body).encode()
        headers |= {"content-type": "application/x-ndjson", "prefer": "wait=20"}
    elif body is not None:
        data = json.dumps(body).encode()
        headers |= {"content-type": "application/json", "prefer": "wait=20"}
    request = urllib.request.Request(f"{URL}/{path}", data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def make_sensor(sensor_type="temperature", location="Backyard", description="Outdoor temperature sensor") -> int:
    fields = {"sensor_type": sensor_type, "location": location, "description": description}
    return call("POST", "sensors", fields)["sensor_id"]


def send(sensor_id: int, readings) -> None:
    """Pairs of a time in milliseconds and a value; they are stored when this returns."""
    items = [{"sensor_id": sensor_id, "timestamp": at, "value": value} for at, value in readings]
    report = call("POST", "readings", items)
    assert report["failed"] == 0 and report["state"] == "stored", report


def produce(payload: bytes, key: bytes = b"1") -> None:
    """A record as it is, which the api would refuse."""
    topic, brokers = os.environ["KAFKA_TOPIC"], os.environ["KAFKA_BROKERS"]
    command = ["kcat", "-b", brokers, "-t", topic, "-P", "-K", "\\t"]
    subprocess.run(command, input=key + b"\t" + payload, check=True, capture_output=True)


def sql(statement: str) -> str:
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    command = ["psql", *options, os.environ["DATABASE_URL"], "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def command(*arguments: str) -> str:
    done = subprocess.run([SENSORPIPE, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def load(*flags: str) -> None:
    subprocess.run([LOAD, *flags], check=True, capture_output=True)
