"""toxiproxy over its HTTP API: https://github.com/Shopify/toxiproxy#http-api"""

import json
import subprocess
import time
import urllib.error
import urllib.request

from places import CLIENTS, LOGS, TOXIPROXY

# Whatever proxy the environment names, it is not for this machine's own ports.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
READY_WITHIN_S = 20
# In effect for ever: what is held is delivered once the toxic is gone, as TCP does after a network was cut.
HELD_MS = 3_600_000
BOTH_WAYS = ("upstream", "downstream")


class Toxiproxy:
    """The process and its proxies: of each client `kafka-worker-0` and so on, and those that the servers want besides."""

    def __init__(self, ports, others):
        self.url = f"http://127.0.0.1:{ports.toxiproxy}"
        self.log = (LOGS / "toxiproxy.log").open("w")
        command = [TOXIPROXY, "-host", "127.0.0.1", "-port", str(ports.toxiproxy)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self._await()
        for client in CLIENTS:
            self._add(f"kafka-{client}", ports.kafka_proxy(client), ports.kafka_listener(client))
        for name, listen, upstream in others:
            self._add(name, listen, upstream)

    def _await(self):
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return self._ask("GET", "/version")
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"toxiproxy does not answer; see {self.log.name}") from None
                time.sleep(0.05)

    def _add(self, name, listen, upstream):
        proxy = {"name": name, "listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{upstream}", "enabled": True}
        self._ask("POST", "/proxies", proxy)

    def refuse(self, name):
        """Ends its connections and takes no new ones."""
        self._ask("POST", f"/proxies/{name}", {"enabled": False})

    def allow(self, name):
        self._ask("POST", f"/proxies/{name}", {"enabled": True})

    def lead(self, name, upstream):
        """Ends its connections; new ones go to this port."""
        self._ask("POST", f"/proxies/{name}", {"upstream": f"127.0.0.1:{upstream}", "enabled": True})

    def cut(self, name):
        """Ends its connections; new ones are taken at once."""
        self.refuse(name)
        self.allow(name)

    def hold(self, name):
        """Nothing gets through any more, and nobody is told."""
        for stream in BOTH_WAYS:
            self.add_toxic(name, "latency", stream, latency=HELD_MS, jitter=0)

    def add_toxic(self, name, kind, stream, **attributes):
        toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}
        self._ask("POST", f"/proxies/{name}/toxics", toxic)

    def remove_toxic(self, name, kind, stream):
        self._ask("DELETE", f"/proxies/{name}/toxics/{kind}-{stream}")

    def heal(self):
        """Takes all toxics away and every connection on."""
        self._ask("POST", "/reset")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def _ask(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with DIRECT.open(request, timeout=10) as answer:
            return answer.read()
