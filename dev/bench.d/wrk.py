"""wrk, and what it finds."""

import json
import subprocess
from pathlib import Path

from servers import Failed

SCRIPTS = Path(__file__).resolve().parent / "wrk"
THREADS = 2
# Longer than anything that answers at all: what is slow is to be counted as slow, not as broken.
TIMEOUT_S = 60


def wrk(url, script, *arguments, connections, seconds):
    """One run; its figures, for which every request must have been answered, and with success."""
    threads = min(THREADS, connections)
    command = [
        "wrk", f"--threads={threads}", f"--connections={connections}", f"--duration={seconds}s",
        f"--timeout={TIMEOUT_S}s", f"--script={SCRIPTS / script}", url, "--", *map(str, arguments),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    reports = [line for line in done.stdout.splitlines() if line.startswith("REPORT ")]
    if done.returncode != 0 or len(reports) != 1:
        raise Failed(f"wrk {script}: {(done.stdout + done.stderr).strip()[-2000:]}")
    report = json.loads(reports[0].removeprefix("REPORT "))
    refused, broken = report.pop("refused"), report.pop("broken")
    if refused or broken or not report["requests"]:
        raise Failed(f"wrk {script}: of {report['requests']} answers {refused} are no success; {broken} are missing")
    return report | {"requests_per_second": report["requests"] / report["seconds"]}
