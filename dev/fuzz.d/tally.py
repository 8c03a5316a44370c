"""What has been run, kept over runs: executions count for the build that they were made with."""

import json


class Tally:
    def __init__(self, file):
        self.file = file
        self.targets = json.loads(file.read_text()) if file.exists() else {}

    def begin(self, name, build):
        """Another build of a target begins anew; its crashes have to show again."""
        if self.targets.get(name, {}).get("build") != build:
            self.targets[name] = {"build": build, "executions": 0, "seconds": 0.0, "new_inputs": 0, "crashes": []}

    def add(self, name, run):
        target = self.targets[name]
        for key in ("executions", "seconds", "new_inputs"):
            target[key] += run[key]
        target["crashes"] += [crash for crash in run["crashes"] if crash not in target["crashes"]]
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self.targets, indent=1) + "\n")
        partial.replace(self.file)

    def executions(self, name):
        return self.targets[name]["executions"]

    def crashes(self, name):
        return [f"{name}: {crash}" for crash in self.targets[name]["crashes"]]


def markdown(names, tally):
    lines = ["| target | executions | executions/s | new inputs | crashes | seconds |", "|---|---|---|---|---|---|"]
    for name in names:
        target = tally.targets[name]
        speed = target["executions"] / target["seconds"] if target["seconds"] else 0
        lines.append(
            f"| {name} | {target['executions']:,} | {speed:,.0f} | {target['new_inputs']:,} "
            f"| {len(target['crashes'])} | {target['seconds']:,.0f} |"
        )
    return "\n".join(lines)
