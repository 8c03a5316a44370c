"""Holds rendered manifests to rules.py, each rule to a fault that it has to find, and the processes that the manifests
describe to their probes.

usage: check.py RENDERED_FOLDER SENSORPIPE_BINARY; DATABASE_URL and KAFKA_BROKERS name running servers.
"""

import contextlib
import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from known import known_by
from rules import Manifests, at, container_of, faults, one_with_role, pod_of, seconds

RENDERED, BINARY = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
REPO = Path(__file__).resolve().parents[2]
KNOWN = known_by(BINARY)
READY_WITHIN_S = 30
# What the cluster asks, and nobody from outside.
INTERNAL = {"/metrics", "/healthz", "/readyz", "/log-level"}
DROP_ATTEMPTS = 10
# Nothing here deletes topics, so there is one, and what others left in it is not read.
TOPIC = "sensorpipe-manifests-check"
# Whatever proxy the environment names, it is not for this machine's own ports.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def rendered(overlay):
    return list(yaml.safe_load_all((RENDERED / f"{overlay}.yaml").read_text(encoding="utf-8")))


def overlays():
    return sorted(file.stem for file in RENDERED.glob("*.yaml"))


class Overlays(unittest.TestCase):
    def test_there_are_all(self):
        for overlay in ("small", "scaled"):
            self.assertIn(overlay, overlays())

    def test_no_rule_finds_a_fault(self):
        for overlay in overlays():
            with self.subTest(overlay):
                self.assertEqual(faults(rendered(overlay), KNOWN), [])

    def test_the_variant_has_static_members(self):
        worker = one_with_role(Manifests(rendered("scaled-static"), KNOWN), "worker")
        self.assertEqual(worker["kind"], "StatefulSet")
        sources = {one["name"]: one.get("valueFrom") for one in container_of(worker)["env"]}
        self.assertEqual(sources["KAFKA_CONFIG_group_instance_id"]["fieldRef"]["fieldPath"], "metadata.name")

    def test_workers_scale_by_lag(self):
        (scaler,) = Manifests(rendered("scaled"), KNOWN).of("ScaledObject")
        (trigger,) = scaler["spec"]["triggers"]
        self.assertEqual(trigger["type"], "kafka")
        self.assertEqual(trigger["metadata"]["limitToPartitionsWithLag"], "true")
        self.assertLessEqual(scaler["spec"]["minReplicaCount"], scaler["spec"]["maxReplicaCount"])


class Rules(unittest.TestCase):
    """Each finds the fault that it is there for."""

    def setUp(self):
        self.documents = copy.deepcopy(rendered("scaled"))
        self.manifests = Manifests(self.documents, KNOWN)

    def role(self, role):
        return one_with_role(self.manifests, role)

    def one(self, kind, name=None):
        return next(one for one in self.manifests.of(kind) if name in (None, one["metadata"]["name"]))

    def config(self, role):
        """The role's own ConfigMap."""
        name = container_of(self.role(role))["envFrom"][1]["configMapRef"]["name"]
        return self.one("ConfigMap", name)["data"]

    def assert_finds(self, rule):
        found = {fault.split(":")[0] for fault in faults(self.documents, KNOWN)}
        self.assertIn(rule, found)

    def test_a_setting_that_nobody_knows(self):
        self.config("worker")["CONSUMER_COUNT"] = "2"
        self.assert_finds("settings_are_known")

    def test_a_setting_of_another_role(self):
        self.config("api")["CONSUMERS"] = "2"
        self.assert_finds("settings_are_known")

    def test_more_consumers_than_partitions(self):
        self.one("ScaledObject")["spec"]["maxReplicaCount"] += 1
        self.assert_finds("consumers_have_partitions")

    def test_a_surge_above_the_partitions(self):
        self.role("worker")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 1
        self.assert_finds("consumers_have_partitions")

    def test_a_topic_of_another_size(self):
        self.one("KafkaTopic")["spec"]["partitions"] = 24
        self.assert_finds("consumers_have_partitions")

    def test_replicas_beside_a_scaler(self):
        self.role("worker")["spec"]["replicas"] = 2
        self.assert_finds("consumers_have_partitions")

    def test_an_audit_that_ends(self):
        container_of(self.role("audit"))["args"].remove("--watch")
        self.assert_finds("the_audit_runs")

    def test_a_second_audit(self):
        self.role("audit")["spec"]["replicas"] = 2
        self.assert_finds("the_audit_runs")

    def test_an_audit_without_a_budget(self):
        self.config("audit").pop("AUDIT_CPU_SHARE")
        self.assert_finds("the_audit_runs")

    def test_a_grace_that_cuts_the_drain(self):
        pod_of(self.role("worker"))["terminationGracePeriodSeconds"] = 15
        self.assert_finds("pods_stop_in_time")

    def test_a_drain_that_outgrew_its_grace(self):
        self.config("worker")["DRAIN_TIMEOUT"] = "2m"
        self.assert_finds("pods_stop_in_time")

    def test_a_longer_request_than_the_grace(self):
        pod_of(self.role("api"))["terminationGracePeriodSeconds"] = 40
        self.assert_finds("pods_stop_in_time")

    def test_two_images(self):
        container_of(self.role("migrate"))["image"] = "registry.example.com/sensorpipe:latest"
        self.assert_finds("images_are_one")

    def test_a_writable_root(self):
        container_of(self.role("api"))["securityContext"]["readOnlyRootFilesystem"] = False
        self.assert_finds("pods_have_few_rights")

    def test_a_token(self):
        pod_of(self.role("migrate")).pop("automountServiceAccountToken")
        self.assert_finds("pods_have_few_rights")

    def test_no_limit(self):
        container_of(self.role("worker"))["resources"]["limits"].pop("memory")
        self.assert_finds("resources_are_bounded")

    def test_a_password_in_a_config(self):
        self.config("worker")["KAFKA_CONFIG_sasl_password"] = "x"
        self.assert_finds("secrets_stay_out")

    def test_a_url_with_a_password(self):
        container_of(self.role("api"))["env"] = [{"name": "DATABASE_URL", "value": "postgres://a:b@c/d"}]
        self.assert_finds("secrets_stay_out")

    def test_a_secret(self):
        self.documents.append({"kind": "Secret", "metadata": {"name": "x"}})
        self.assert_finds("secrets_stay_out")

    def test_another_port(self):
        self.config("worker")["METRICS_ADDR"] = "0.0.0.0:9000"
        self.assert_finds("ports_are_served")

    def test_a_port_on_loopback(self):
        self.config("api")["HTTP_ADDR"] = "127.0.0.1:8080"
        self.assert_finds("ports_are_served")

    def test_a_probe_of_nothing(self):
        container_of(self.role("api"))["livenessProbe"]["httpGet"]["port"] = "metrics"
        self.assert_finds("pods_are_probed")

    def test_a_selector_of_nothing(self):
        self.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "web"
        self.assert_finds("selectors_find_pods")

    def test_a_service_port_that_pods_lack(self):
        self.one("Service", "sensorpipe-api")["spec"]["ports"][0]["targetPort"] = "web"
        self.assert_finds("selectors_find_pods")

    def test_a_monitor_of_nothing(self):
        self.one("ServiceMonitor")["spec"]["endpoints"][0]["port"] = "web"
        self.assert_finds("selectors_find_pods")

    def test_a_scaler_of_nothing(self):
        self.one("ScaledObject")["spec"]["scaleTargetRef"]["name"] = "worker"
        self.assert_finds("references_lead_somewhere")

    def test_an_open_network(self):
        self.one("NetworkPolicy", "deny-all")["spec"]["policyTypes"] = ["Ingress"]
        self.assert_finds("network_is_closed")

    def test_a_broker_behind_the_wall(self):
        common = container_of(self.role("worker"))["envFrom"][0]["configMapRef"]["name"]
        self.one("ConfigMap", common)["data"]["KAFKA_BROKERS"] = "kafka:9094"
        self.assert_finds("network_is_closed")


class Compose(unittest.TestCase):
    """docker-compose.yml, which no container engine reads here."""

    def test_it_has_settings_that_there_are_and_waits_for_drains(self):
        compose = yaml.safe_load((REPO / "docker-compose.yml").read_text(encoding="utf-8"))
        ours = {name: one for name, one in compose["services"].items() if one["image"] == "sensorpipe:local"}
        self.assertEqual(set(ours), {"migrate", "api", "worker", "audit", "seed"})
        for name, service in ours.items():
            with self.subTest(name):
                known = KNOWN.settings[service["command"][0]]
                unknown = [one for one in service["environment"] if one not in known]
                self.assertEqual([one for one in unknown if not one.startswith("KAFKA_CONFIG_")], [])
        self.assertIn("--watch", ours["audit"]["command"])
        drain = seconds(KNOWN.settings["worker"]["DRAIN_TIMEOUT"])
        self.assertGreater(seconds(ours["worker"]["stop_grace_period"]), drain)


class Processes(unittest.TestCase):
    """What the manifests describe, as processes: the same arguments and settings but for where the servers are."""

    def test_probes_are_answered(self):
        for overlay in ("small", "scaled-static"):
            with self.subTest(overlay), database(overlay) as url:
                manifests = Manifests(rendered(overlay), KNOWN)
                self.run_to_its_end(manifests, "migrate", url)
                for role, setting in (("api", "HTTP_ADDR"), ("worker", "METRICS_ADDR"), ("audit", "METRICS_ADDR")):
                    self.answers(manifests, role, setting, url)

    def run_to_its_end(self, manifests, role, url):
        container = container_of(one_with_role(manifests, role))
        own = self.environment(manifests, container, url)
        done = subprocess.run([BINARY, *container["args"]], env=own, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])

    def answers(self, manifests, role, setting, url):
        workload = one_with_role(manifests, role)
        container = container_of(workload)
        port = free_port()
        own = self.environment(manifests, container, url) | {setting: f"127.0.0.1:{port}"}
        process = subprocess.Popen(
            [BINARY, *container["args"]], env=own, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.answers_well(process, port, at(container, (probe, "httpGet", "path")))
            for path in monitored_paths(manifests, role):
                self.answers_well(process, port, path)
            if role == "api":
                self.what_is_for_users_is_published(manifests, port)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=pod_of(workload)["terminationGracePeriodSeconds"])
            self.assertEqual(process.returncode, 0, log)
        finally:
            process.kill()
            process.communicate()

    def answers_well(self, process, port, path):
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with DIRECT.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                    self.assertEqual(answer.status, 200)
                    return
            if process.poll() is not None:
                self.fail(f"ended with {process.returncode}: {process.stderr.read()[-2000:]}")
            self.assertLess(time.monotonic(), deadline, f"{path} is not 200")
            time.sleep(0.05)

    def what_is_for_users_is_published(self, manifests, port):
        with DIRECT.open(f"http://127.0.0.1:{port}/openapi.json", timeout=5) as answer:
            paths = set(json.load(answer)["paths"]) | {"/", "/openapi.json", "/docs", "/redoc", "/pages/1/page.js"}
        self.assertLess(INTERNAL, paths)
        self.assertEqual({path for path in paths if not is_published(manifests, path)}, INTERNAL)

    @staticmethod
    def environment(manifests, container, url):
        plain, elsewhere = manifests.environment(container)
        own = plain | {name: "sensorpipe-worker-0" for name in elsewhere}
        servers = {
            "DATABASE_URL": url,
            "KAFKA_BROKERS": os.environ["KAFKA_BROKERS"],
            "KAFKA_TOPIC": TOPIC,
            "KAFKA_GROUP": f"{TOPIC}-{os.getpid()}",
            # There is one broker, and nothing is read of what an earlier run left.
            "KAFKA_REPLICATION": "1",
            "START": "latest",
        }
        known = KNOWN.settings[container["args"][0]]
        return own | {name: value for name, value in servers.items() if name in known} | {"PATH": os.environ["PATH"]}


def is_published(manifests, path):
    rules = [rule for ingress in manifests.of("Ingress") for rule in ingress["spec"]["rules"]]
    for one in (one for rule in rules for one in rule["http"]["paths"]):
        # As Kubernetes has it: a prefix of whole elements.
        if path == one["path"] or (one["pathType"] == "Prefix" and path.startswith(one["path"].rstrip("/") + "/")):
            return True
    return False


def monitored_paths(manifests, role):
    kind, field = ("ServiceMonitor", "endpoints") if role == "api" else ("PodMonitor", "podMetricsEndpoints")
    monitors = [one for one in manifests.of(kind) if one["metadata"]["name"].endswith(role)]
    return [endpoint["path"] for one in monitors for endpoint in one["spec"][field]]


@contextlib.contextmanager
def database(overlay):
    server = os.environ["DATABASE_URL"]
    name = f"sensorpipe_manifests_{overlay.replace('-', '_')}_{os.getpid()}"
    psql(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.rsplit('/', 1)[0]}/{name}"
    finally:
        drop(server, name)


def drop(server, name):
    """Sessions of the server's own, autovacuum's or TimescaleDB's, are not ours to end: they go by themselves."""
    for attempt in range(DROP_ATTEMPTS):
        try:
            return psql(server, f"DROP DATABASE {name} WITH (FORCE)")
        except subprocess.CalledProcessError:
            if attempt == DROP_ATTEMPTS - 1:
                raise
            time.sleep(1)


def psql(url, sql):
    subprocess.run(["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", sql, url], check=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    started = time.monotonic()
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    outcome = unittest.TextTestRunner(verbosity=1).run(suite)
    failed = len(outcome.failures) + len(outcome.errors)
    passed = max(outcome.testsRun - failed, 0)
    word = "ok" if outcome.wasSuccessful() else "FAILED"
    # A line like cargo's, which dev/test counts.
    print(f"test result: {word}. {passed} passed; {failed} failed; finished in {time.monotonic() - started:.1f}s")
    sys.exit(0 if outcome.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
