"""What must hold of rendered manifests beyond their schemas: each rule yields the faults that it finds."""

import re
from dataclasses import dataclass

# Of the OpenTelemetry SDK's settings those that the manifests use; docs/tracing.md has all that count.
TRACING = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
WORKLOADS = ("Deployment", "StatefulSet", "Job")
SECRET_LOOKING = re.compile(r"password|passwd|secret|token|[a-z]+://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)
RESOURCES = ("cpu", "memory")
UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "day": 86400, "days": 86400}
# What an api takes at most for the requests under way, and to publish what they left.
API_DRAIN_SECONDS = 30 + 5
PRE_STOP = ("lifecycle", "preStop", "sleep", "seconds")


@dataclass
class Known:
    """What the binary says of itself: settings by role, each with its default, and the release."""

    settings: dict
    version: str


class Manifests:
    """One overlay's documents."""

    def __init__(self, documents, known):
        self.documents, self.known = documents, known
        self.configs = {name_of(one): one.get("data", {}) for one in self.of("ConfigMap")}

    def of(self, *kinds):
        return [one for one in self.documents if one["kind"] in kinds]

    def workloads(self):
        return self.of(*WORKLOADS)

    def environment(self, container):
        """The settings whose values are in the manifests, and the names of those that come from elsewhere."""
        plain, elsewhere = {}, set()
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                plain |= self.configs[source["configMapRef"]["name"]]
        for one in container.get("env", []):
            if "value" in one:
                plain[one["name"]] = one["value"]
            else:
                elsewhere.add(one["name"])
        return plain, elsewhere

    def setting(self, workload, name):
        """Its value for a workload's role, or the role's default."""
        container = container_of(workload)
        plain, _ = self.environment(container)
        return plain.get(name) or self.known.settings[role_of(container)].get(name)


def faults(documents, known):
    """Every fault of one overlay, by the name of the rule that finds it."""
    manifests = Manifests(documents, known)
    return [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(manifests)]


def settings_are_known(manifests):
    """The binary knows every setting, and the workload's ConfigMaps are there."""
    for workload in manifests.workloads():
        for container in containers_of(workload):
            for source in container.get("envFrom", []):
                wanted = source.get("configMapRef", {}).get("name")
                if wanted and wanted not in manifests.configs:
                    yield f"{name_of(workload)}: there is no ConfigMap {wanted}"
                    return
            plain, elsewhere = manifests.environment(container)
            known = manifests.known.settings[role_of(container)]
            for name in sorted({*plain, *elsewhere}):
                if name not in known and name not in TRACING and not name.startswith("KAFKA_CONFIG_"):
                    yield f"{name_of(workload)}: `sensorpipe {role_of(container)}` knows no {name}"


def consumers_have_partitions(manifests):
    """Replicas times consumers never exceed the partitions, also while pods are replaced."""
    migrate = one_with_role(manifests, "migrate")
    partitions = int(manifests.setting(migrate, "KAFKA_PARTITIONS"))
    for topic in manifests.of("KafkaTopic"):
        if topic["spec"]["partitions"] != partitions:
            yield f"{name_of(topic)}: {topic['spec']['partitions']} partitions, but migrate makes {partitions}"
    worker = one_with_role(manifests, "worker")
    consumers = int(manifests.environment(container_of(worker))[0]["CONSUMERS"])
    limits = [one["spec"]["maxReplicaCount"] for one in manifests.of("ScaledObject")]
    replicas = max([worker["spec"].get("replicas", 0), *limits])
    if replicas == 0:
        yield f"{name_of(worker)}: neither replicas nor a ScaledObject"
    if worker["spec"].get("replicas") and limits:
        yield f"{name_of(worker)}: replicas beside a ScaledObject"
    if worker["kind"] == "Deployment":
        replicas += worker["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    if replicas * consumers > partitions:
        yield f"{name_of(worker)}: {replicas} replicas of {consumers} consumers for {partitions} partitions"


def the_audit_runs(manifests):
    """One of it, without end, with a budget that is said."""
    audit = one_with_role(manifests, "audit")
    if audit["spec"].get("replicas") != 1:
        yield f"{name_of(audit)}: {audit['spec'].get('replicas')} replicas, not 1"
    if "--watch" not in container_of(audit)["args"]:
        yield f"{name_of(audit)}: it ends after one audit, without --watch"
    if not manifests.environment(container_of(audit))[0].get("AUDIT_CPU_SHARE"):
        yield f"{name_of(audit)}: no AUDIT_CPU_SHARE"


def pods_stop_in_time(manifests):
    """The grace period is longer than what stopping may take."""
    for role in ("worker", "api"):
        workload = one_with_role(manifests, role)
        spec = pod_of(workload)
        needed = seconds(manifests.setting(workload, "DRAIN_TIMEOUT")) if role == "worker" else API_DRAIN_SECONDS
        needed += at(container_of(workload), PRE_STOP) or 0
        grace = spec.get("terminationGracePeriodSeconds", 30)
        # Some more to close connections.
        if grace < needed + 5:
            yield f"{name_of(workload)}: {grace} s of grace for {needed:g} s and some"


def images_are_one(manifests):
    images = {container["image"] for workload in manifests.workloads() for container in containers_of(workload)}
    if len(images) != 1 or not next(iter(images)).endswith(f":{manifests.known.version}"):
        yield f"{sorted(images)}: one image with the tag {manifests.known.version} is wanted"


def pods_have_few_rights(manifests):
    """Kubernetes' `restricted` standard and a read-only root; no token."""
    for workload in manifests.workloads():
        spec, name = pod_of(workload), name_of(workload)
        for path, wanted in (
            (("automountServiceAccountToken",), False),
            (("enableServiceLinks",), False),
            (("securityContext", "runAsNonRoot"), True),
            (("securityContext", "runAsUser"), 10001),
            (("securityContext", "seccompProfile", "type"), "RuntimeDefault"),
        ):
            if at(spec, path) != wanted:
                yield f"{name}: {'.'.join(path)} is not {wanted}"
        account = spec.get("serviceAccountName")
        if account not in map(name_of, manifests.of("ServiceAccount")):
            yield f"{name}: there is no ServiceAccount {account}"
        for container in containers_of(workload):
            for path, wanted in (
                (("securityContext", "allowPrivilegeEscalation"), False),
                (("securityContext", "readOnlyRootFilesystem"), True),
                (("securityContext", "capabilities", "drop"), ["ALL"]),
            ):
                if at(container, path) != wanted:
                    yield f"{name}: {'.'.join(path)} is not {wanted}"
    for account in manifests.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{name_of(account)}: automountServiceAccountToken is not false"


def resources_are_bounded(manifests):
    for workload in manifests.workloads():
        for container in containers_of(workload):
            for bound in ("requests", "limits"):
                for resource in RESOURCES:
                    if not at(container, ("resources", bound, resource)):
                        yield f"{name_of(workload)}: no {bound}.{resource}"


def secrets_stay_out(manifests):
    """By reference only."""
    for secret in manifests.of("Secret"):
        yield f"{name_of(secret)}: a Secret in the files"
    for name, data in manifests.configs.items():
        for key, value in data.items():
            if key == "DATABASE_URL" or SECRET_LOOKING.search(f"{key}={value}"):
                yield f"{name}: {key} looks like a secret"
    for workload in manifests.workloads():
        for container in containers_of(workload):
            for one in container.get("env", []):
                if one["name"] == "DATABASE_URL" and "secretKeyRef" not in one.get("valueFrom", {}):
                    yield f"{name_of(workload)}: DATABASE_URL is not from a secret"
                elif "value" in one and SECRET_LOOKING.search(f"{one['name']}={one['value']}"):
                    yield f"{name_of(workload)}: {one['name']} looks like a secret"


def ports_are_served(manifests):
    """The ports that are named are those that the settings have the process listen on, on every address."""
    for role, setting, port in (
        ("api", "HTTP_ADDR", "http"), ("worker", "METRICS_ADDR", "metrics"), ("audit", "METRICS_ADDR", "metrics"),
    ):  # fmt: skip
        workload = one_with_role(manifests, role)
        ports = {one["name"]: one["containerPort"] for one in container_of(workload).get("ports", [])}
        address = manifests.setting(workload, setting)
        if ports != {port: int(address.rsplit(":", 1)[1])} or not address.startswith("0.0.0.0:"):
            yield f"{name_of(workload)}: ports {ports}, {setting}={address}"


def pods_are_probed(manifests):
    for role in ("api", "worker", "audit"):
        workload = one_with_role(manifests, role)
        container = container_of(workload)
        ports = {one["name"] for one in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if at(container, (probe, "httpGet", "port")) not in ports:
                yield f"{name_of(workload)}: no {probe} on a port of its own"


def selectors_find_pods(manifests):
    """Whatever picks pods by labels, picks some, and the ports that it names are theirs."""
    for one in manifests.of("Service", "PodDisruptionBudget", "PodMonitor", "NetworkPolicy", *WORKLOADS):
        selector = pod_selector(one)
        if selector is None:
            continue
        found = [workload for workload in manifests.workloads() if matches(selector, pod_labels(workload))]
        if not found:
            yield f"{one['kind']} {name_of(one)}: no pod has {selector}"
        for workload in found:
            served = {port["name"] for port in container_of(workload).get("ports", [])}
            for port in named_ports(one) - served:
                yield f"{one['kind']} {name_of(one)}: {name_of(workload)} has no port {port}"
    for monitor in manifests.of("ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services = [one for one in manifests.of("Service") if matches(selector, one["metadata"]["labels"])]
        ports = {port["name"] for service in services for port in service["spec"]["ports"]}
        if not {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports:
            yield f"ServiceMonitor {name_of(monitor)}: no Service with its labels has its port"


def references_lead_somewhere(manifests):
    there = {(one["kind"], name_of(one)) for one in manifests.documents}
    for scaler in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in there:
            yield f"{scaler['kind']} {name_of(scaler)}: there is no {target['kind']} {target['name']}"
    for scaler in manifests.of("ScaledObject"):
        worker = one_with_role(manifests, "worker")
        plain, _ = manifests.environment(container_of(worker))
        for trigger in scaler["spec"]["triggers"]:
            for field, setting in trigger["metadata"].items():
                if field.endswith("FromEnv") and setting not in plain:
                    yield f"ScaledObject {name_of(scaler)}: the worker has no {setting}"
            reference = trigger.get("authenticationRef")
            if reference and ("TriggerAuthentication", reference["name"]) not in there:
                yield f"ScaledObject {name_of(scaler)}: there is no TriggerAuthentication {reference['name']}"
    for ingress in manifests.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                if ("Service", path["backend"]["service"]["name"]) not in there:
                    yield f"Ingress {name_of(ingress)}: there is no such Service"


def network_is_closed(manifests):
    """Nothing in or out but what is named, and Kafka's port is among that."""
    policies = manifests.of("NetworkPolicy")
    if not any(
        one["spec"]["podSelector"] == {} and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not one["spec"].get("ingress") and not one["spec"].get("egress")
        for one in policies
    ):  # fmt: skip
        yield "there is no policy that denies everything"
    ports = {port["port"] for one in policies for way in one["spec"].get("egress", []) for port in way["ports"]}
    brokers = manifests.setting(one_with_role(manifests, "worker"), "KAFKA_BROKERS")
    for broker in brokers.split(","):
        if int(broker.rsplit(":", 1)[1]) not in ports:
            yield f"no policy lets pods reach {broker}"
    if not {53, 5432} <= ports:
        yield "no policy lets pods reach DNS and Postgres"


RULES = [
    settings_are_known,
    consumers_have_partitions,
    the_audit_runs,
    pods_stop_in_time,
    images_are_one,
    pods_have_few_rights,
    resources_are_bounded,
    secrets_stay_out,
    ports_are_served,
    pods_are_probed,
    selectors_find_pods,
    references_lead_somewhere,
    network_is_closed,
]


def name_of(document):
    return document["metadata"]["name"]


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def pod_labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def containers_of(workload):
    return [*pod_of(workload).get("initContainers", []), *pod_of(workload)["containers"]]


def container_of(workload):
    return pod_of(workload)["containers"][0]


def role_of(container):
    return container["args"][0]


def one_with_role(manifests, role):
    found = [one for one in manifests.workloads() if role_of(container_of(one)) == role]
    if len(found) != 1:
        raise ValueError(f"{len(found)} workloads of role {role}")
    return found[0]


def pod_selector(one):
    """The labels by which it picks pods here; None where it picks all of them, or none."""
    spec = one["spec"]
    if one["kind"] == "Service":
        return spec["selector"]
    if one["kind"] == "NetworkPolicy":
        return spec["podSelector"].get("matchLabels")
    return spec.get("selector", {}).get("matchLabels")


def named_ports(one):
    """The ports of pods that it names."""
    spec = one["spec"]
    ports = []
    if one["kind"] == "Service":
        ports = [port["targetPort"] for port in spec["ports"]]
    elif one["kind"] == "PodMonitor":
        ports = [endpoint["port"] for endpoint in spec["podMetricsEndpoints"]]
    elif one["kind"] == "NetworkPolicy":
        ports = [port["port"] for way in spec.get("ingress", []) for port in way["ports"]]
    return {port for port in ports if isinstance(port, str)}


def matches(selector, labels):
    return selector.items() <= labels.items()


def at(node, path):
    for key in path:
        node = (node or {}).get(key)
    return node


def seconds(text):
    """A duration as sensorpipe's help and settings have it: 15s, 7days."""
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()
    return int(number) * UNITS_S[unit]
