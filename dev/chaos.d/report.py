"""What came of a run, for people and as JSON."""

import json
from collections import Counter

from faults.schedule import ALL
from ledger import ABORTED, ACKNOWLEDGED, AT_RISK, REFUSED, UNKNOWN

# On a busy machine a stall says as much about the machine.
GRACE_IN_QUICK = 3
LEAST = {"faults": 200, "readings acknowledged": 10_000_000}
LOST = ("lost", "dead letter missing")
TWICE = ("stored twice", "dead-lettered twice", "counted as stored, against rows")
MISPLACED = ("on another sensor", "an id given to another sensor", "a sensor lost")
WRONGLY = ("wrongly dead-lettered", "wrong reason", "dead-lettered though not taken")


def summarize(arguments, seconds, records, ledger, verdict, findings, audit):
    """`records` of faults as (fault, measurement)."""
    tally = {
        "seed": arguments.seed,
        "long": arguments.long,
        "cluster": arguments.cluster,
        "seconds": round(seconds),
        "faults": len(records),
        "readings": {
            "sent": ledger.sent,
            "acknowledged": ledger.count(ACKNOWLEDGED),
            "unknown": ledger.count(UNKNOWN),
            "aborted": ledger.count(ABORTED),
            "refused": ledger.count(REFUSED),
            "at_risk": ledger.count(AT_RISK),
            "sensors_made": verdict.sensors,
            "stored": verdict.stored,
            "duplicates": verdict.duplicates,
            "dead_lettered": dict(sorted(verdict.dead_letters.items())),
            "lost": sum(verdict.faults[kind] for kind in LOST),
            "on_another_sensor": sum(verdict.faults[kind] for kind in MISPLACED),
            "stored_twice": sum(verdict.faults[kind] for kind in TWICE),
            "wrongly_dead_lettered": sum(verdict.faults[kind] for kind in WRONGLY),
        },
        "kinds": {kind: stalls(fault, records) for kind, fault in ALL.items() if of(kind, records)},
        "audit": audit,
        "faults_of_the_tables": dict(verdict.faults),
        "examples": verdict.examples,
        "findings": findings,
    }
    tally["failures"] = failures(tally, arguments.long)
    if arguments.long and not arguments.faults and not arguments.minutes:
        tally["failures"] += too_little(tally)
    return tally


def of(kind, records):
    return [measurement for fault, measurement in records if fault.kind == kind]


def stalls(fault, records):
    measured = of(fault.kind, records)
    hit = [one.stall(fault.counts_from) for one in measured if one.is_hit]
    figures = {"times": len(measured), "missed": len(measured) - len(hit), "counts_from": fault.counts_from}
    figures |= {"longest_s": round(max(hit, default=0), 2), "all_s": [round(stall, 2) for stall in hit]}
    return figures | {"limit_s": fault.limit_s}


def failures(tally, is_long):
    found = [f"{count} × {kind}" for kind, count in tally["faults_of_the_tables"].items()]
    found += tally["findings"]
    if tally["audit"] == "failed":
        found.append("sensorpipe audit finds differences; see audit.log")
    for kind, figures in tally["kinds"].items():
        allowed = figures["limit_s"] and figures["limit_s"] * (1 if is_long else GRACE_IN_QUICK)
        if allowed and figures["longest_s"] > allowed:
            found.append(f"{kind}: a stall of {figures['longest_s']} s, more than {allowed} s")
    return found


def too_little(tally):
    """What a long run proves rests on how much was done."""
    measured = {"faults": tally["faults"], "readings acknowledged": tally["readings"]["acknowledged"]}
    return [f"{measured[what]:,} {what}, fewer than {least:,}" for what, least in LEAST.items() if measured[what] < least]


def as_text(tally):
    readings = tally["readings"]
    lines = [f"seed {tally['seed']}: {tally['faults']} faults in {tally['seconds']} s", ""]
    dead = readings["dead_lettered"]
    for name, value in readings.items():
        value = sum(dead.values()) if name == "dead_lettered" else value
        lines.append(f"{name.replace('_', ' '):>24} {value:>12,}")
        if name == "dead_lettered":
            lines += [f"{reason:>24} {count:>12,}" for reason, count in dead.items()]
    lines += ["", f"{'fault':26} {'times':>5} {'missed':>6}  {'longest stall, s':>16} {'limit':>6}"]
    for kind, figures in tally["kinds"].items():
        limit = figures["limit_s"]
        mark = " exceeded" if limit and figures["longest_s"] > limit else ""
        since = " from its end" if figures["counts_from"] == "back" else ""
        lines.append(
            f"{kind:26} {figures['times']:>5} {figures['missed']:>6}  {figures['longest_s']:>16.1f} "
            f"{limit or '':>6}{since}{mark}"
        )
    lines += ["", f"sensorpipe audit: {tally['audit']}"]
    lines += [f"  {example}" for example in tally["examples"]]
    grouped = Counter(tally["failures"])
    lines += [f"FAILED: {failure}" + (f" ({count} times)" if count > 1 else "") for failure, count in grouped.items()]
    return "\n".join([*lines, "FAILED" if tally["failures"] else "passed: nothing lost, nothing stored twice"])


def write(tally, file):
    file.write_text(json.dumps(tally, indent=1) + "\n")
