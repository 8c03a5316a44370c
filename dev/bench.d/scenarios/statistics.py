"""What `/daily_avg` costs, beside the guide's own query over the same table through FastAPI and asyncpg."""

import time

from history import DAY, MINUTE, SECOND, History, Series, same_statistics
from processes import Api, Reference
from servers import Failed
from wrk import wrk

from .sizes import SENSORS, SIZES

MEASURED_DAYS = 30
# Of the table: one sensor with half of today, one whose last day is over, and many that fill it up.
WITH_TODAY, WITHOUT_TODAY, FIRST_OF_MANY = 1, 2, 3
LONG_DAYS, SHORT_DAYS = 365, 8
MANY_CONNECTIONS = 64
WARM_UP_S = 2
COLD_CALLS = 5
PATH = "/daily_avg/"


def reference_daily(servers):
    """the reference: /daily_avg, 30 days at 1 Hz, half of today; the same without today"""
    history = large_history(servers)
    with Reference(history.database) as reference:
        servers.settle()
        figures = {}
        for name, sensor in [("today", WITH_TODAY), ("closed", WITHOUT_TODAY)]:
            history.answers[sensor] = reference.get(f"{PATH}{sensor}")
            figures[f"{name}_p50_ms"] = one_by_one(reference, sensor)["p50_ms"]
        return figures


def daily_30(servers):
    """api: /daily_avg, 30 days at 1 Hz, half of today, rollup warm"""
    return warm(servers, large_history(servers), WITH_TODAY)


def daily_closed(servers):
    """api: /daily_avg, 30 days at 1 Hz, nothing today, rollup warm"""
    return warm(servers, large_history(servers), WITHOUT_TODAY)


def daily_cold(servers):
    """api: /daily_avg, 30 days at 1 Hz, half of today, nothing in the rollup"""
    history = large_history(servers)
    with Api(history.database, history.topic) as api:
        servers.settle()
        # Another sensor's call pays for connecting and planning.
        api.get(f"{PATH}{FIRST_OF_MANY}")
        calls = []
        for _ in range(COLD_CALLS):
            history.forget_statistics()
            started = time.monotonic()
            answer = api.get(f"{PATH}{WITH_TODAY}")
            calls.append((time.monotonic() - started) * 1e3)
            check_answer(history, WITH_TODAY, answer)
        return {"p50_ms": sorted(calls)[len(calls) // 2], "max_ms": max(calls)}


def daily_365(servers):
    """api: /daily_avg over 365 days of minutes, and over 8 days, rollup warm"""
    long, short = (history_of_minutes(servers, days) for days in (LONG_DAYS, SHORT_DAYS))
    return {
        "p50_ms": warm(servers, long, WITH_TODAY)["p50_ms"],
        "short_p50_ms": warm(servers, short, WITH_TODAY)["p50_ms"],
    }


def reference_many(servers):
    """the reference: /daily_avg of 1,000 sensors with a reading a minute, 64 connections"""
    history = large_history(servers)
    with Reference(history.database) as reference:
        servers.settle()
        return many(reference)


def daily_many(servers):
    """api: /daily_avg of 1,000 sensors with a reading a minute, 64 connections, rollup warm"""
    history = large_history(servers)
    with Api(history.database, history.topic) as api:
        for sensor in range(FIRST_OF_MANY, FIRST_OF_MANY + SENSORS):
            api.get(f"{PATH}{sensor}")
        servers.settle()
        return many(api)


ALL = {
    "reference-daily": reference_daily,
    "daily-30": daily_30,
    "daily-closed": daily_closed,
    "daily-cold": daily_cold,
    "daily-365": daily_365,
    "reference-many": reference_many,
    "daily-many": daily_many,
}

NEEDS = {
    "daily-30": ["reference-daily"],
    "daily-closed": ["reference-daily"],
    "daily-cold": ["reference-daily"],
    "daily-many": ["reference-many"],
}


def large_history(servers):
    measured = round(MEASURED_DAYS * DAY / SECOND)
    days_of_many = max(1, round((SIZES.stats_rows - 2 * measured) / (SENSORS * DAY / MINUTE)))
    return kept(
        servers,
        "large",
        Series(WITH_TODAY, 1, SECOND, MEASURED_DAYS),
        Series(WITHOUT_TODAY, 1, SECOND, MEASURED_DAYS, has_today=False),
        Series(FIRST_OF_MANY, SENSORS, MINUTE, days_of_many),
    )


def history_of_minutes(servers, days):
    return kept(servers, f"minutes-{days}", Series(WITH_TODAY, 1, MINUTE, days))


def kept(servers, name, *series):
    """The same one for every run of a day: it takes a minute to make."""
    history = servers.histories.get(name)
    if history is None or not history.is_of_today():
        history = servers.histories[name] = History(servers, *series)
    return history


def warm(servers, history, sensor):
    with Api(history.database, history.topic) as api:
        check_answer(history, sensor, api.get(f"{PATH}{sensor}"))
        servers.settle()
        figures = one_by_one(api, sensor)
        check_answer(history, sensor, api.get(f"{PATH}{sensor}"))
        return figures


def check_answer(history, sensor, answer):
    expected = history.answers.get(sensor)
    if expected and not same_statistics(answer, expected):
        raise Failed(f"sensor {sensor}: the api answers {answer.decode()}, the reference {expected.decode()}")


def one_by_one(target, sensor):
    """One connection: each request waits for the answer to the last."""
    return steady(target, sensor, 1, connections=1)


def many(target):
    return steady(target, FIRST_OF_MANY, SENSORS, connections=MANY_CONNECTIONS)


def steady(target, first, sensors, connections):
    runs = [
        wrk(target.url, "sensors.lua", PATH, first, sensors, connections=connections, seconds=seconds)
        for seconds in (WARM_UP_S, SIZES.http_seconds)
    ]
    return runs[-1]
