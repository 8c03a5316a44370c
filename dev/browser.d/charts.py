"""The charts: what they ask for, and what they show."""

import math
import re
import time
import urllib.parse
from datetime import datetime

import service
from browser import Case, expect

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# From shortest to longest, as far as these tests see them.
LADDER = ["raw", "1s", "5s", "15s", "1m", "5m", "15m", "1h", "3h", "6h", "1d", "1w"]
SPIKE = 61.25
SOME = re.compile("^[1-9][0-9]*$")

_sensor = None


def usual(at: int) -> float:
    """Warmer by day than by night, and never quite the same."""
    return round(20 + 6 * math.sin(2 * math.pi * at / DAY_MS) + at // 300_000 * 7919 % 97 / 40, 2)


def sensor_with_history() -> int:
    """Forty days of a reading each five minutes, one of which is a spike; made once."""
    global _sensor
    if _sensor is None:
        _sensor = service.make_sensor()
        now = int(time.time()) // 300 * 300_000
        times = range(now - 40 * DAY_MS, now, 300_000)
        service.send(_sensor, [(at, SPIKE if index == 4_321 else usual(at)) for index, at in enumerate(times)])
    return _sensor


class Charts(Case):
    def setUp(self):
        super().setUp()
        self.sensor_id = sensor_with_history()
        self.asked = []
        self.page.on("request", lambda request: self.note(request.url))
        self.go(f"#/sensors/{self.sensor_id}")
        self.chart = self.page.locator(".chart.is-tall")
        expect(self.chart).to_have_attribute("data-points", SOME)

    def note(self, url):
        parts = urllib.parse.urlsplit(url)
        if parts.path.endswith("/chart"):
            self.asked.append(dict(urllib.parse.parse_qsl(parts.query)))

    def bucket(self):
        return self.chart.get_attribute("data-bucket")

    def drawn(self):
        """Waits until what was asked last is drawn, and answers its bucket."""
        expect(self.chart).not_to_have_class("chart is-tall is-busy")
        return self.bucket()

    def test_zoom_changes_the_bucket_asked_for(self):
        whole = self.drawn()
        self.assertNotIn("start", self.asked[0])
        self.assertGreater(int(self.asked[0]["width"]), 900)
        buckets = [whole]
        for preset in ["7 d", "1 d", "1 h"]:
            self.button(preset).click()
            buckets.append(self.drawn())
            expect(self.button(preset)).to_have_attribute("aria-pressed", "true")
        places = [LADDER.index(bucket) for bucket in buckets]
        self.assertEqual(places, sorted(places, reverse=True), buckets)
        self.assertLess(places[-1], places[0], buckets)
        self.assertEqual(self.span(self.asked[-1]), HOUR_MS)

    def span(self, asked):
        start, end = (datetime.fromisoformat(asked[name].replace("Z", "+00:00")) for name in ("start", "end"))
        return round((end - start).total_seconds() * 1000)

    def test_drag_zooms_in_and_double_click_out(self):
        whole = self.drawn()
        box = self.page.locator(".chart.is-tall .u-over").bounding_box()
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * 0.55, middle, steps=5)
        self.page.mouse.up()
        near = self.drawn()
        self.assertLess(LADDER.index(near), LADDER.index(whole))
        narrow = self.span(self.asked[-1])
        self.assertLess(abs(narrow - 2 * DAY_MS), DAY_MS / 2)
        self.page.mouse.dblclick(box["x"] + box["width"] * 0.5, middle)
        self.drawn()
        self.assertAlmostEqual(self.span(self.asked[-1]) / narrow, 4, places=2)

    def test_keys_move_and_zoom(self):
        self.button("7 d").click()
        self.drawn()
        before = self.span(self.asked[-1])
        self.chart.focus()
        self.page.keyboard.press("+")
        self.drawn()
        self.assertEqual(self.span(self.asked[-1]), before / 2)
        start = self.asked[-1]["start"]
        self.page.keyboard.press("ArrowLeft")
        self.drawn()
        self.assertLess(self.asked[-1]["start"], start)
        self.page.keyboard.press("Home")
        self.drawn()
        self.assertNotIn("start", self.asked[-1])

    def test_the_range_is_in_the_address(self):
        self.button("1 d").click()
        self.drawn()
        asked = self.asked[-1]
        self.page.reload()
        expect(self.chart).to_have_attribute("data-points", SOME)
        self.drawn()
        self.assertEqual(self.asked[-1]["start"], asked["start"])

    def test_a_spike_shows_at_every_zoom(self):
        self.page.get_by_text("The same as a table").first.click()
        table = self.region("Points of the chart")
        for preset in ["All", "30 d"]:
            self.button(preset).click()
            self.drawn()
            expect(table.get_by_role("cell", name="61.25", exact=True).first).to_be_attached()

    def test_a_range_without_readings_says_so(self):
        self.go(f"#/sensors/{self.sensor_id}?start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z")
        self.page.reload()
        self.button("Show all readings").click()
        expect(self.chart).to_have_attribute("data-points", SOME)

    def test_days_are_by_the_clock_of_the_zone(self):
        section = self.page.locator("section", has=self.page.get_by_role("heading", name="Day by day"))
        expect(section.get_by_role("status")).to_contain_text("days with readings, by the clock of UTC")
        section.get_by_text("The same as a table").click()
        rows = self.region("Days").locator("tbody tr")
        expect(rows.nth(1)).to_contain_text("288")
        self.page.get_by_label("Time zone").select_option("Europe/Berlin")
        expect(section.get_by_role("status")).to_contain_text("by the clock of Europe/Berlin")
        averages = self.region("Daily averages").locator("tbody tr")
        expect(averages).to_have_count(7)
