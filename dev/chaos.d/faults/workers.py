"""Faults of the processes themselves."""

import time

from faults.fault import Fault
from world import CONSUMERS, IN_COPY, WORKERS, Slowed

# The worker's default, and what taking over after it may take besides.
SESSION_TIMEOUT_S = 10
TAKEN_OVER_WITHIN_S = 40


def kill_worker(world, rng, _):
    rng.choice(world.running()).kill()
    world.observer.await_stored(TAKEN_OVER_WITHIN_S)


def terminate_worker(world, rng, _):
    rng.choice(world.running()).terminate()
    world.observer.await_stored(TAKEN_OVER_WITHIN_S)


def kill_api(world, rng, _):
    world.api.kill()
    time.sleep(rng.uniform(0, 2))
    world.api.start()


def freeze_worker(world, rng, measurement):
    worker = rng.choice(world.running())
    worker.freeze()
    time.sleep(SESSION_TIMEOUT_S + rng.uniform(1, 4))
    world.observer.await_stored(TAKEN_OVER_WITHIN_S)
    measurement.close()
    worker.thaw()
    time.sleep(1)


def freeze_in_copy(world, rng, measurement):
    """SIGSTOP while its backend is in COPY and the answer that lets it send rows is on its way to it."""
    worker = rng.choice(world.running())
    with Slowed(world, worker) as slowed:
        pid = slowed.await_copy()
        worker.freeze()
        if not pid:
            measurement.missed("no COPY seen")
        elif not world.backends(f"pid = {pid} AND {IN_COPY}"):
            measurement.missed("not in COPY any more when it froze")
    measurement.begin_here()
    world.observer.await_stored(TAKEN_OVER_WITHIN_S)
    measurement.close()
    worker.thaw()
    time.sleep(1)


def deploy(world, rng, _):
    """A rolling restart: api and workers, one after the other."""
    processes = [*world.running(), world.api]
    rng.shuffle(processes)
    for process in processes:
        arguments = process.arguments
        process.terminate()
        process.start(*arguments)
        time.sleep(rng.uniform(0.2, 2))


def add_worker(world, rng, _):
    world.workers[WORKERS].start("--consumers", str(rng.randint(1, 2)))
    time.sleep(rng.uniform(1, 4))


def change_consumers(world, rng, _):
    worker = rng.choice(world.running())
    count = rng.choice([number for number in range(1, 5) if number != CONSUMERS])
    worker.terminate()
    worker.start("--consumers", str(count))
    time.sleep(rng.uniform(1, 4))


FAULTS = [
    Fault("worker-killed", "SIGKILL of a worker", kill_worker, 14, limit_s=12, needs_group=True),
    Fault("worker-stopped", "SIGTERM of a worker", terminate_worker, 14, limit_s=3, needs_group=True),
    Fault("worker-frozen", "SIGSTOP of a worker for longer than its session, then SIGCONT", freeze_worker, 6),
    Fault(
        "worker-frozen-in-copy", "SIGSTOP of a worker in mid-COPY until others have its partitions, then SIGCONT",
        freeze_in_copy, 10, limit_s=SESSION_TIMEOUT_S + 5, needs_group=True,
    ),
    Fault("api-killed", "SIGKILL of the api", kill_api, 12),
    Fault("deploy", "workers and api restarted one after the other", deploy, 10),
    Fault("worker-added", "a third worker for some seconds", add_worker, 8),
    Fault("consumers-changed", "a worker restarted with another --consumers", change_consumers, 8),
]  # fmt: skip
