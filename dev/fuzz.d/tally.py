"""What has been run of a target, kept over runs: executions count for the build that they were made with."""

import json


class Tally:
    def __init__(self, file, build):
        self.file = file
        self.sums = json.loads(file.read_text()) if file.exists() else {}
        if self.sums.get("build") != build:
            # Another build begins anew; its crashes have to show again.
            self.sums = {"build": build, "executions": 0, "seconds": 0.0, "new_inputs": 0, "crashes": []}

    def add(self, run):
        for key in ("executions", "seconds", "new_inputs"):
            self.sums[key] += run[key]
        self.sums["crashes"] += [crash for crash in run["crashes"] if crash not in self.sums["crashes"]]
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self.sums, indent=1) + "\n")
        partial.replace(self.file)

    @property
    def executions(self):
        return self.sums["executions"]

    @property
    def crashes(self):
        return self.sums["crashes"]


def markdown(tallies):
    """`tallies` by target."""
    lines = ["| target | executions | executions/s | new inputs | crashes | seconds |", "|---|---|---|---|---|---|"]
    for name, tally in tallies.items():
        seconds = tally.sums["seconds"]
        speed = tally.executions / seconds if seconds else 0
        lines.append(
            f"| {name} | {tally.executions:,} | {speed:,.0f} | {tally.sums['new_inputs']:,} "
            f"| {len(tally.crashes)} | {seconds:,.0f} |"
        )
    return "\n".join(lines)
