"""Rights that Kafka takes away for some seconds and gives back: the api and the workers are nobody to it, and what watches
and loads is a super user."""

import time

from confluent_kafka.admin import (
    AclBinding, AclBindingFilter, AclOperation, AclPermissionType, ResourcePatternType, ResourceType,
)  # fmt: skip

from faults.fault import BACK, Fault
from places import GROUP, TOPIC

# Of a client that gave no name.
NOBODY = "User:ANONYMOUS"
ADMIN_WITHIN_S, TAKEN_WITHIN_S = 20, 30
# librdkafka asks again after half a second, and the worker reads on from where the database is.
LIMIT_S = 10


class Denied:
    """As long as it is entered. Without the rule that allows the rest, nobody could do anything else there either."""

    def __init__(self, world, resource, name, operation):
        self.servers = world.servers
        where = (resource, name, ResourcePatternType.LITERAL)
        self.rules = [
            AclBinding(*where, NOBODY, "*", AclOperation.ALL, AclPermissionType.ALLOW),
            AclBinding(*where, NOBODY, "*", operation, AclPermissionType.DENY),
        ]
        self.all_there = AclBindingFilter(*where, None, None, AclOperation.ANY, AclPermissionType.ANY)

    def __enter__(self):
        for future in self.servers.admin.create_acls(self.rules).values():
            future.result(ADMIN_WITHIN_S)
        return self

    def __exit__(self, *_):
        for future in self.servers.admin.delete_acls([self.all_there]).values():
            future.result(ADMIN_WITHIN_S)


def deny_reading(world, rng, measurement):
    with Denied(world, ResourceType.TOPIC, TOPIC, AclOperation.READ):
        time.sleep(rng.uniform(3, 5))
        is_stored = not world.observer.behind()
    measurement.back()
    if is_stored:
        measurement.missed("everything was stored all the same")


def deny_group(world, rng, measurement):
    with Denied(world, ResourceType.GROUP, GROUP, AclOperation.READ):
        time.sleep(rng.uniform(3, 8))
    measurement.back()


def deny_writing(world, rng, measurement):
    """The api must say so to its clients, and take readings again afterwards."""
    before = world.refused_requests()
    with Denied(world, ResourceType.TOPIC, TOPIC, AclOperation.WRITE):
        time.sleep(rng.uniform(3, 5))
    measurement.back()
    if not world.await_taken_requests(TAKEN_WITHIN_S):
        world.findings.append(f"the api takes nothing {TAKEN_WITHIN_S} s after it may write again")
    refused = world.refused_requests() - before
    measurement.note = f"{refused} requests refused"
    if not refused:
        measurement.missed("no request was refused")


FAULTS = [
    Fault("read-denied", "the topic may not be read for some seconds, by ACL", deny_reading, 8, limit_s=LIMIT_S,
          counts_from=BACK),
    Fault("group-denied", "the group may not be joined for some seconds, by ACL", deny_group, 4),
    Fault("write-denied", "the topic may not be written to for some seconds, by ACL", deny_writing, 5, limit_s=LIMIT_S,
          counts_from=BACK),
]  # fmt: skip
