"""A fuzz target: its binary, its corpus, a run of it."""

import hashlib
import re
import shutil
import signal
import subprocess
import time

# The longest input that is made up, and the dictionary whose words are put into it.
TARGETS = {
    "decode": (256, "json"),
    "timestamps": (48, "json"),
    "sensor_data": (256, "json"),
    "readings": (256, "json"),
    "queries": (200, "queries"),
    "headers": (300, "headers"),
}

# An input of the kept corpus is at most so long: what a longer one reaches, a shorter one mostly does as well.
KEPT_BYTES = 160

EXECUTED = re.compile(rb"^stat::number_of_executed_units: +(\d+)", re.MULTILINE)
SHOWN = re.compile(rb"^#(\d+)\t", re.MULTILINE)
CRASHED = re.compile(rb"Test unit written to (\S+)")


class Target:
    def __init__(self, name, state, binaries, repo):
        self.name = name
        self.binary = binaries / name
        self.kept = repo / "fuzz/corpus" / name
        self.regressions = repo / "fuzz/regressions" / name
        self.max_len, dictionary = TARGETS[name]
        self.dictionary = repo / "fuzz/dictionaries" / f"{dictionary}.dict"
        self.folder = state / name
        self.corpus = self.folder / "corpus"
        self.crashes = self.folder / "crashes"
        for folder in (self.kept, self.corpus, self.crashes):
            folder.mkdir(parents=True, exist_ok=True)

    def build(self):
        return hashlib.sha256(self.binary.read_bytes()).hexdigest()

    def run(self, executions, jobs, deadline):
        """Shares the executions among processes that share a corpus."""
        before, started = self._inputs(), time.monotonic()
        processes = []
        for job in range(jobs):
            share = executions // jobs + (1 if job < executions % jobs else 0)
            log = (self.folder / f"{job}.log").open("wb")
            processes.append(subprocess.Popen(self._command(share, deadline), stdout=log, stderr=log))
        try:
            for process in processes:
                process.wait()
        except BaseException:
            for process in processes:
                process.send_signal(signal.SIGTERM)
                process.wait()
            raise
        logs = [(self.folder / f"{job}.log").read_bytes() for job in range(jobs)]
        crashes = [path.decode() for log in logs for path in CRASHED.findall(log)]
        for job, process in enumerate(processes):
            if process.returncode != 0 and not CRASHED.search(logs[job]):
                crashes.append(f"ended with {process.returncode}: see {self.folder / f'{job}.log'}")
        return {
            "executions": sum(executed(log) for log in logs),
            "seconds": time.monotonic() - started,
            "new_inputs": max(self._inputs() - before, 0),
            "crashes": crashes,
        }

    def minimize(self):
        """Leaves in fuzz/corpus the fewest inputs that reach every place in the code that the short ones here reach."""
        chosen = self.folder / "chosen"
        shutil.rmtree(chosen, ignore_errors=True)
        chosen.mkdir()
        short = self.folder / "short"
        shutil.rmtree(short, ignore_errors=True)
        short.mkdir()
        for source in (self.kept, self.corpus):
            for file in source.iterdir():
                if file.stat().st_size <= KEPT_BYTES:
                    shutil.copy(file, short / hashlib.sha1(file.read_bytes()).hexdigest())
        log = self.folder / "merge.log"
        with log.open("wb") as output:
            subprocess.run(
                [self.binary, "-set_cover_merge=1", "-use_counters=0", f"-max_len={KEPT_BYTES}", chosen, short],
                stdout=output, stderr=output, check=True,
            )
        shutil.rmtree(self.kept)
        chosen.rename(self.kept)
        shutil.rmtree(short)
        sizes = [file.stat().st_size for file in self.kept.iterdir()]
        return len(sizes), sum(sizes)

    def _command(self, executions, deadline):
        command = [
            self.binary, f"-runs={executions}", f"-max_len={self.max_len}", f"-dict={self.dictionary}",
            f"-artifact_prefix={self.crashes}/", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
            "-use_value_profile=0",
        ]
        if deadline is not None:
            command.append(f"-max_total_time={max(int(deadline - time.monotonic()), 1)}")
        seeds = [folder for folder in (self.kept, self.regressions) if folder.is_dir()]
        return [*command, self.corpus, *seeds]

    def _inputs(self):
        return sum(1 for _ in self.corpus.iterdir())


def executed(log):
    """What the process said at its end or, where it had none, the last that it showed."""
    found = EXECUTED.findall(log) or SHOWN.findall(log)
    return int(found[-1]) if found else 0
