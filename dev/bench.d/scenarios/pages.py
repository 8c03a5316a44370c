"""What the pages ask of the api: charts of a long history at every zoom, and the overview while many look at it."""

import json
import threading
import time
from datetime import timedelta
from urllib.parse import urlencode

from history import DAY, SECOND, TODAY, Series
from processes import DIRECT, Api
from servers import Failed

from .sizes import SIZES
from .statistics import kept
from .tables import migrated

SENSOR = 1
CALLS = 15
WIDTH = 1_000
ZOOMS = {
    "90d": 90 * DAY,
    "30d": 30 * DAY,
    "7d": 7 * DAY,
    "1d": DAY,
    "1h": timedelta(hours=1),
    "1m": timedelta(minutes=1),
}
COMPLETE_WITHIN_S = 600
VIEWERS = 50
MANY_SENSORS = 100_000
SETTLE_S, WATCHED_S = 3, 20


def chart(servers):
    """api: a chart 1,000 points wide of a sensor with a year of 1 Hz, at zooms from all of it to a minute"""
    days = round(SIZES.stats_rows * SECOND / DAY)
    history = kept(servers, f"seconds-{days}", Series(SENSOR, 1, SECOND, days))
    with Api(history.database, history.topic) as api:
        cold = timed(api, {})
        seconds_until_complete = complete(api)
        servers.settle()
        figures = {"cold_ms": cold, "seconds_until_complete": seconds_until_complete}
        end = history.today + TODAY
        worst = cold
        for name, length in {"all": None, **ZOOMS}.items():
            # As far back as the zoom fits twice, so that it is not today alone that is looked at.
            ends = [end, end - 2 * length] if length else [None]
            calls = sorted(timed(api, span(last, length)) for last in ends for _ in range(CALLS))
            figures[f"{name}_p50_ms"], figures[f"{name}_max_ms"] = calls[len(calls) // 2], calls[-1]
            worst = max(worst, calls[-1])
        return {**figures, "max_ms": worst}


def overview(servers):
    """api: the overview's events with 50 viewers, and with none, of 1 sensor and of 100,000; CPU in percent of a core"""
    few, many = watched(servers, 1), watched(servers, MANY_SENSORS)
    return {**few, **{f"many_{name}": figure for name, figure in many.items()}}


def watched(servers, sensors):
    topic = servers.new_topic("overview")
    with migrated(servers, topic, sensors) as database, Api(database, topic) as api:
        servers.settle()
        idle = cpu_percent(api)
        viewers = [Viewer(api) for _ in range(VIEWERS)]
        time.sleep(SETTLE_S)
        before = [viewer.events for viewer in viewers]
        busy = cpu_percent(api)
        seen = [viewer.events - events for viewer, events in zip(viewers, before)]
        for viewer in viewers:
            viewer.close()
        if min(seen) < WATCHED_S - 3:
            raise Failed(f"a viewer saw {min(seen)} events in {WATCHED_S} s")
        return {"cpu_percent": busy, "idle_cpu_percent": idle}


ALL = {"chart": chart, "overview": overview}


def span(end, length):
    return {"start": (end - length).isoformat(), "end": end.isoformat()} if length else {}


def draw(api, parameters):
    return json.loads(api.get(f"/sensors/{SENSOR}/chart?{urlencode({'width': WIDTH, **parameters})}"))


def timed(api, parameters):
    started = time.monotonic()
    answer = draw(api, parameters)
    took = (time.monotonic() - started) * 1e3
    if not answer["points"]["time"] and answer["complete"]:
        raise Failed(f"nothing is drawn of {parameters}")
    return took


def complete(api):
    """Until days that are over are kept, which the api begins with the first request."""
    started = time.monotonic()
    # The second has shorter buckets, which quarter-hours are kept for.
    while not draw(api, {})["complete"] or not draw(api, {"width": WIDTH * 8})["complete"]:
        if time.monotonic() - started > COMPLETE_WITHIN_S:
            raise Failed("the chart is not complete in time")
        time.sleep(1)
    return time.monotonic() - started


def cpu_percent(api):
    before, started = api.cpu_seconds(), time.monotonic()
    time.sleep(WATCHED_S)
    return (api.cpu_seconds() - before) / (time.monotonic() - started) * 100


class Viewer(threading.Thread):
    """Reads the overview's events until it is closed."""

    def __init__(self, api):
        super().__init__(daemon=True)
        self.events = 0
        self.closing = False
        self.answer = DIRECT.open(api.url + "/overview/events", timeout=30)
        self.start()

    def run(self):
        while not self.closing:
            if self.answer.readline().startswith(b"event: overview"):
                self.events += 1

    def close(self):
        self.closing = True
        self.join(10)
        self.answer.close()
