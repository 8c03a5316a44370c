"""Markdown from runs: ratios first, each of figures of the same round."""

import statistics

SPEED = "readings_per_second"
REQUESTS = "requests_per_second"

AT_LEAST, AT_MOST = "≥", "≤"

# what, bound, target, scenario, its figure, scenario that it is divided by, that one's figure
RATIOS = [
    ("drain, 1 reading per record ÷ plain `COPY` by one connection into the users' schema",
     AT_LEAST, 5.0, "drain-1", SPEED, "floor-plain", SPEED),
    ("drain, 100 readings per record ÷ the same", AT_LEAST, 6.5, "drain-100", SPEED, "floor-plain", SPEED),
    ("drain, 100 per record ÷ two-connection sorted `COPY` without FK check and time index (the limit)",
     AT_LEAST, 0.6, "drain-100", SPEED, "floor-limit", SPEED),
    ("drain with the per-row FK check left on ÷ plain `COPY`",
     AT_LEAST, 1.7, "drain-row", SPEED, "floor-plain", SPEED),
    ("drain of a topic whose readings are all there already ÷ its first drain",
     AT_LEAST, 0.5, "duplicates", SPEED, "duplicates", "first_readings_per_second"),
    ("drain with one reading in 100,000 sent twice ÷ without",
     AT_LEAST, 0.93, "repeats", SPEED, "repeats", "without_readings_per_second"),
    ("the same drain into a chunk of {large_rows:,} rows ÷ into an empty one",
     AT_LEAST, 0.85, "large-chunk", SPEED, "drain-1", SPEED),
    ("100,000 sensors ÷ 1,000 sensors", AT_LEAST, 0.5, "many-sensors", SPEED, "drain-1", SPEED),
    ("single-reading POSTs/s at 512 connections ÷ the reference",
     AT_LEAST, 20, "http-single", REQUESTS, "reference-single", REQUESTS),
    ("readings/s accepted in batches of 1,000 ÷ the reference",
     AT_LEAST, 15, "http-batch", SPEED, "reference-batch", SPEED),
    ("readings/s accepted through `POST /readings`, NDJSON of 1,000, gzip ÷ the reference in batches of 1,000",
     AT_LEAST, 12, "http-ndjson", SPEED, "reference-batch", SPEED),
    ("p99 of accepted requests at 3 × the bound on requests a second ÷ at 0.8 × of it",
     AT_MOST, 5, "http-overload", "over_p99_ms", "http-overload", "under_p99_ms"),
    ("`/daily_avg`, 30 days of 1 Hz, half of today, rollup warm: reference ÷ ours, p50",
     AT_LEAST, 25, "reference-daily", "today_p50_ms", "daily-30", "p50_ms"),
    ("the same, the day closed hours ago, nothing today",
     AT_LEAST, 300, "reference-daily", "closed_p50_ms", "daily-closed", "p50_ms"),
    ("`/daily_avg`, ours at 365 days of history ÷ at 8 days, p50",
     AT_MOST, 1.2, "daily-365", "p50_ms", "daily-365", "short_p50_ms"),
    ("`/daily_avg`, 30 days of 1 Hz, half of today: first call on a cold rollup ÷ the reference",
     AT_MOST, 0.4, "daily-cold", "p50_ms", "reference-daily", "today_p50_ms"),
    ("drain rate with rollups on ÷ off, readings of today",
     AT_LEAST, 0.97, "rollup-today", SPEED, "rollup-today", "off_readings_per_second"),
    ("drain rate of a 14-day backfill with rollups on ÷ off",
     AT_LEAST, 0.85, "rollup-backfill", SPEED, "rollup-backfill", "off_readings_per_second"),
    ("requests/s of `/daily_avg` over 1,000 sensors of 1-minute data, 64 connections ÷ the reference",
     AT_LEAST, 15, "daily-many", REQUESTS, "reference-many", REQUESTS),
]

# what, target, scenario, figure, unit
BOUNDS = [
    ("produce → visible, p99, at 20,000 readings/s in single-reading records",
     100, "latency-20000", "visible_p99_ms", "ms"),
    ("produce → visible, p99, at 100 readings/s", 30, "latency-100", "visible_p99_ms", "ms"),
    ("worker's peak resident memory while draining {memory_readings:,} records, 4 partitions",
     256, "memory", "worker_peak_mib", "MiB"),
    ("single-reading POSTs at 512 connections, p99", 40, "http-single", "p99_ms", "ms"),
    ("a chart 1,000 wide over {stats_rows:,} readings of a sensor, the slowest of all zooms",
     300, "chart", "max_ms", "ms"),
    ("the overview at 50 viewers: CPU of the api, of a core", 2, "overview", "cpu_percent", "%"),
    ("the same with 100,000 sensors", 2, "overview", "many_cpu_percent", "%"),
    ("api's peak resident memory with 2,000 idle and 500 busy connections", 150, "http-memory", "api_peak_mib", "MiB"),
]

SPEEDS = [
    ("plain `COPY`, one connection, the users' schema", "floor-plain"),
    ("sorted `COPY`, two connections, no FK check, no time index", "floor-limit"),
    ("drain, 1 reading per record", "drain-1"),
    ("drain, 100 readings per record", "drain-100"),
    ("drain, 1 per record, FK checked row by row", "drain-row"),
    ("drain, 1 per record, all there already", "duplicates"),
    ("drain, 1 per record, one reading in 100,000 sent twice", "repeats"),
    ("drain, 1 per record, 100,000 sensors", "many-sensors"),
    ("drain, 1 per record, into a chunk of {large_rows:,} rows", "large-chunk"),
    ("drain, {memory_readings:,} readings, 1 per record", "memory"),
    ("drain, 1 per record, readings of today, rollups on", "rollup-today"),
    ("drain, 1 per record, 14 days of backfill, rollups on", "rollup-backfill"),
]

# What came of requests.
ANSWERS = [
    ("POSTs of one reading, 512 connections, the reference", "reference-single"),
    ("POSTs of one reading, 512 connections", "http-single"),
    ("POSTs of 1,000 readings of a sensor, 64 connections, the reference", "reference-batch"),
    ("POSTs of 1,000 readings of a sensor, 64 connections", "http-batch"),
    ("POSTs of 1,000 readings of as many sensors, NDJSON, gzip, 64 connections", "http-ndjson"),
    ("POSTs of one reading, 500 connections, 2,000 idle ones besides", "http-memory"),
    ("`/daily_avg`, 30 days of 1 Hz, half of today, 1 connection", "daily-30"),
    ("`/daily_avg`, 30 days of 1 Hz, nothing today, 1 connection", "daily-closed"),
    ("`/daily_avg` of 1,000 sensors, 64 connections, the reference", "reference-many"),
    ("`/daily_avg` of 1,000 sensors, 64 connections", "daily-many"),
]
ANSWERS_FIGURES = [(REQUESTS, "{:,.0f}"), (SPEED, "{:,.0f}"), ("p50_ms", "{:.1f}"), ("p99_ms", "{:.1f}")]


def markdown(runs, machine, sizes):
    tables = [targets(runs, sizes), speeds(runs, sizes), answers(runs)]
    return "\n\n".join("\n".join(lines) for lines in [*filter(None, tables), [about(machine, sizes)]])


def targets(runs, sizes):
    lines = ["| what | target | measured (min–max) | runs |", "|---|---|---|---|"]
    for what, bound, target, scenario, figure, divisor, divisor_figure in RATIOS:
        below = {run["round"]: run[divisor_figure] for run in of(runs, divisor)}
        values = [run[figure] / below[run["round"]] for run in of(runs, scenario) if run["round"] in below]
        lines += row(what.format(**sizes), bound, target, values, "{:.2f}", "")
    for what, target, scenario, figure, unit in BOUNDS:
        values = [run[figure] for run in of(runs, scenario)]
        form = "{:.2f}" if target < 10 else "{:.0f}"
        lines += row(what.format(**sizes), AT_MOST, target, values, form, f" {unit}")
    return lines


def speeds(runs, sizes):
    lines = []
    for what, scenario in SPEEDS:
        chosen = of(runs, scenario)
        if chosen:
            spread = spread_of([run[SPEED] for run in chosen], "{:,.0f}")
            whole = [run["seconds_from_start"] for run in chosen if "seconds_from_start" in run]
            seconds = spread_of(whole, "{:.1f}") if whole else ""
            lines.append(f"| {what.format(**sizes)} | {spread} | {seconds} | {len(chosen)} |")
    head = ["| what | readings/s (min–max) | from the worker's start, s | runs |", "|---|---|---|---|"]
    return lines and head + lines


def answers(runs):
    lines = []
    for what, scenario in ANSWERS:
        chosen = of(runs, scenario)
        if chosen:
            cells = [
                spread_of([run[figure] for run in chosen], form) if figure in chosen[0] else ""
                for figure, form in ANSWERS_FIGURES
            ]
            lines.append(f"| {what} | {' | '.join(cells)} | {len(chosen)} |")
    head = ["| what | requests/s (min–max) | readings/s | p50, ms | p99, ms | runs |", "|---|---|---|---|---|---|"]
    return lines and head + lines


def row(what, bound, target, values, form, unit):
    if not values:
        return []
    mark = "" if is_good(values, bound, target) else " **missed**"
    return [f"| {what} | {bound} {target}{unit} | {spread_of(values, form)}{unit}{mark} | {len(values)} |"]


def is_good(values, bound, target):
    median = statistics.median(values)
    return median >= target if bound == AT_LEAST else median <= target


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
