"""Markdown from runs: ratios first, each of figures of the same round."""

import statistics

SPEED = "readings_per_second"

# what, target, scenario, its figure, scenario that it is divided by, that one's figure
RATIOS = [
    ("drain, 1 reading per record ÷ plain `COPY` by one connection into the users' schema",
     5.0, "drain-1", SPEED, "floor-plain", SPEED),
    ("drain, 100 readings per record ÷ the same", 6.5, "drain-100", SPEED, "floor-plain", SPEED),
    ("drain, 100 per record ÷ two-connection sorted `COPY` without FK check and time index (the limit)",
     0.6, "drain-100", SPEED, "floor-limit", SPEED),
    ("drain with the per-row FK check left on ÷ plain `COPY`", 1.7, "drain-row", SPEED, "floor-plain", SPEED),
    ("drain of a topic whose readings are all there already ÷ its first drain",
     0.5, "duplicates", SPEED, "duplicates", "first_readings_per_second"),
    ("the same drain into a chunk of {large_rows:,} rows ÷ into an empty one",
     0.85, "large-chunk", SPEED, "drain-1", SPEED),
    ("100,000 sensors ÷ 1,000 sensors", 0.5, "many-sensors", SPEED, "drain-1", SPEED),
]

# what, target, scenario, figure, unit
BOUNDS = [
    ("produce → visible, p99, at 20,000 readings/s in single-reading records",
     100, "latency-20000", "visible_p99_ms", "ms"),
    ("produce → visible, p99, at 100 readings/s", 30, "latency-100", "visible_p99_ms", "ms"),
    ("worker's peak resident memory while draining {memory_readings:,} records, 4 partitions",
     256, "memory", "worker_peak_mib", "MiB"),
]

SPEEDS = [
    ("plain `COPY`, one connection, the users' schema", "floor-plain"),
    ("sorted `COPY`, two connections, no FK check, no time index", "floor-limit"),
    ("drain, 1 reading per record", "drain-1"),
    ("drain, 100 readings per record", "drain-100"),
    ("drain, 1 per record, FK checked row by row", "drain-row"),
    ("drain, 1 per record, all there already", "duplicates"),
    ("drain, 1 per record, 100,000 sensors", "many-sensors"),
    ("drain, 1 per record, into a chunk of {large_rows:,} rows", "large-chunk"),
    ("drain, {memory_readings:,} readings, 1 per record", "memory"),
]


def markdown(runs, machine, sizes):
    lines = ["| what | target | measured (min–max) | runs |", "|---|---|---|---|"]
    for what, target, scenario, figure, divisor, divisor_figure in RATIOS:
        below = {run["round"]: run[divisor_figure] for run in of(runs, divisor)}
        values = [run[figure] / below[run["round"]] for run in of(runs, scenario) if run["round"] in below]
        lines += row(what.format(**sizes), f"≥ {target}", values, "{:.2f}", "", all_good(values, target))
    for what, target, scenario, figure, unit in BOUNDS:
        values = [run[figure] for run in of(runs, scenario)]
        is_good = not values or statistics.median(values) <= target
        lines += row(what.format(**sizes), f"≤ {target} {unit}", values, "{:.0f}", f" {unit}", is_good)
    lines += ["", "| what | readings/s (min–max) | from the worker's start, s | runs |", "|---|---|---|---|"]
    for what, scenario in SPEEDS:
        chosen = of(runs, scenario)
        if chosen:
            spread = spread_of([run[SPEED] for run in chosen], "{:,.0f}")
            whole = [run["seconds_from_start"] for run in chosen if "seconds_from_start" in run]
            seconds = spread_of(whole, "{:.1f}") if whole else ""
            lines.append(f"| {what.format(**sizes)} | {spread} | {seconds} | {len(chosen)} |")
    lines += ["", about(machine, sizes)]
    return "\n".join(lines)


def row(what, target, values, form, unit, is_good):
    if not values:
        return []
    mark = "" if is_good else " **missed**"
    return [f"| {what} | {target} | {spread_of(values, form)}{unit}{mark} | {len(values)} |"]


def all_good(values, target):
    return not values or statistics.median(values) >= target


def of(runs, scenario):
    return [run for run in runs if run["scenario"] == scenario]


def spread_of(values, form):
    median, lowest, highest = statistics.median(values), min(values), max(values)
    return f"{form.format(median)} ({form.format(lowest)}–{form.format(highest)})"


def about(machine, sizes):
    return (
        f"{sizes['readings']:,} readings a drain, 4 partitions; median of the runs. "
        "Kafka {kafka}, PostgreSQL {postgres}, TimescaleDB {timescaledb} and sensorpipe {commit} on the same "
        "{cores} cores ({processor}), {memory_gib} GiB, Linux {kernel}, {rustc}.".format(**machine)
    )


def short(value):
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
