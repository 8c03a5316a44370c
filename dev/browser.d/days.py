"""A sensor's days: every row of their tables, and every time by a zone's clock, is what the API says of it."""

import urllib.parse
from datetime import date, datetime, timedelta

import service
from browser import Case, expect
from charts import sensor_with_history

MEASURES = ["min", "p25", "median", "p75", "max", "avg", "count"]
AVERAGES = ["reading_count", "avg_value", "median_value", "min_value", "max_value", "iqr_value"]
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Kiritimati"]


def number(text: str) -> float:
    return float(text.replace(",", ""))


class Days(Case):
    def setUp(self):
        super().setUp()
        self.sensor_id = sensor_with_history()
        self.go(f"#/sensors/{self.sensor_id}")
        self.section = self.page.locator("section", has=self.page.get_by_role("heading", name="Day by day"))
        self.section.get_by_text("The same as a table").click()

    def rows(self, name: str) -> list[list[str]]:
        """The texts of a table's cells."""
        rows = self.region(name).locator("tbody tr")
        return [row.locator("th, td").all_inner_texts() for row in rows.all()]

    def assert_figures(self, cells: list[str], figures: list[float], row: str):
        """Seven significant digits are shown."""
        self.assertEqual(len(cells), len(figures), row)
        for cell, figure in zip(cells, figures):
            self.assertLessEqual(abs(number(cell) - figure), 5.1e-7 * abs(figure), f"{row}: {cell}, not {figure}")

    def figures_of(self, day: date, zone: str) -> list[float]:
        """What the API says of a whole day."""
        asked = {"bucket": "1d", "timezone": zone, "measures": ",".join(MEASURES), "start": day, "end": day + timedelta(1)}
        answer = service.call("GET", f"sensors/{self.sensor_id}/stats?{urllib.parse.urlencode(asked)}")
        [bucket] = answer["buckets"]
        return [bucket[measure] for measure in MEASURES]

    def latest_day(self, zone: str) -> date:
        found = f"SELECT max(time AT TIME ZONE '{zone}')::date FROM sensor_data WHERE sensor_id = {self.sensor_id}"
        return date.fromisoformat(service.sql(found))

    def readings_of(self, day: date, zone: str) -> str:
        """How many readings a whole day has: one each five minutes, of 23 to 25 hours."""
        midnights = [f"'{midnight}'::timestamp AT TIME ZONE '{zone}'" for midnight in (day, day + timedelta(1))]
        return service.sql(f"SELECT extract(epoch FROM {midnights[1]} - {midnights[0]})::int / 300")

    def test_each_row_is_what_the_api_says_of_that_day(self):
        for zone in ZONES:
            self.page.get_by_label("Time zone").select_option(zone)
            expect(self.section.get_by_role("status")).to_have_text(f"30 days with readings, by the clock of {zone}")
            latest = self.latest_day(zone)
            rows = self.rows("Days")
            self.assertEqual([row[0] for row in rows], [str(latest - timedelta(n)) for n in range(30)])
            for name, *cells in rows:
                self.assert_figures(cells, self.figures_of(date.fromisoformat(name), zone), f"{zone} {name}")
            # The oldest one, too, is a whole day.
            self.assertEqual(rows[-1][-1], self.readings_of(latest - timedelta(29), zone), zone)

    def test_the_newest_seven_days_are_what_the_guide_answers(self):
        expect(self.region("Daily averages").locator("tbody tr")).to_have_count(7)
        rows = self.rows("Daily averages")
        days = service.call("GET", f"daily_avg/{self.sensor_id}")
        self.assertEqual([row[0] for row in rows], [day["day"] for day in days])
        for (name, *cells), day in zip(rows, days):
            self.assert_figures(cells, [day[figure] for figure in AVERAGES], name)

    def test_a_local_time_is_the_instant_that_the_api_takes_it_for(self):
        instant = """async ([text, zone]) => {
            const main = document.querySelector("script[type=module]").src;
            return (await import(new URL("zone.js", main))).instant(text, zone);
        }"""
        for zone, text in [
            ("Europe/Berlin", "2026-03-29T01:59:59.999"),
            ("Europe/Berlin", "2026-03-29T02:30:00.9"),
            ("Europe/Berlin", "2026-10-25T02:30"),
            ("Australia/Lord_Howe", "2026-10-04T02:15"),
            ("Pacific/Apia", "2011-12-30T12:00"),
        ]:
            asked = {"timezone": zone, "start": text, "end": "2030-01-01", "bucket": "1year"}
            answer = service.call("GET", f"sensors/{self.sensor_id}/stats?{urllib.parse.urlencode(asked)}")
            expected = datetime.fromisoformat(answer["start"]).timestamp() * 1000
            self.assertEqual(self.page.evaluate(instant, [text, zone]), round(expected), f"{zone} {text}")
