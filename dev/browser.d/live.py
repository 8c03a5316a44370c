"""What changes on a page by itself, and what becomes of it when the api goes away."""

import re
import time

import service
from browser import Case, expect


class Live(Case):
    def figure(self, name):
        """A figure of the tally."""
        label = self.page.locator("dt", has_text=re.compile(f"^{name}$"))
        text = self.page.locator(".tally div", has=label).locator("dd").inner_text()
        return int(text.replace(",", "")) if text != "–" else None

    def expect_live(self):
        expect(self.page.locator("#age")).to_contain_text(", live")

    def test_the_overview_follows_a_load(self):
        self.expect_live()
        service.until(lambda: self.figure("stored") is not None, 15, "the tally is known")
        before = self.figure("stored")
        service.load("--count", "5000", "--sensors", "5", "--verify")
        service.until(lambda: self.figure("stored") >= before + 5000, 15, "the overview shows what was loaded")
        expect(self.page.get_by_text("Kafka is up")).to_be_visible()
        expect(self.page.get_by_text("Postgres is up")).to_be_visible()
        expect(self.region("Lag by partition").locator("tbody tr")).to_have_count(3)
        expect(self.region("Workers").locator("tbody tr")).to_have_count(1)
        service.until(lambda: self.figure("in flight") == 0, 15, "nothing is in flight")
        expect(self.page.locator("#audited")).to_contain_text("Not audited yet")
        service.command("audit")
        proved = r"^All readings stored up to [\d:]+ are accounted for \(audited \d+ s ago, [\d,]+ readings\)\.$"
        expect(self.page.locator("#audited")).to_have_text(re.compile(proved))
        self.assertEqual(self.figure("difference"), 0)

    def test_a_restart_of_the_api_in_between(self):
        self.expect_live()
        service.API.stop()
        expect(self.page.locator("#stale")).to_contain_text("old")
        self.picture("overview-stale")
        service.API.start()
        service.wait_until_ready(service.ADDRESS)
        self.expect_live()
        expect(self.page.locator("#stale")).to_be_hidden()

    def test_new_readings_are_shown_as_they_are_stored(self):
        sensor_id = service.make_sensor()
        now = int(time.time() * 1000)
        service.send(sensor_id, [(now - 60_000, 1.25)])
        self.go(f"#/sensors/{sensor_id}")
        self.button("Follow live").click()
        expect(self.page.get_by_text("Followed live.")).to_be_visible()
        service.send(sensor_id, [(now, 2.5)])
        rows = self.region("New readings").locator("tbody tr")
        expect(rows.first).to_contain_text("2.5")
        expect(self.page.locator(".latest")).to_have_text("2.5")
        expect(self.page.locator(".chart.is-tall")).to_have_attribute("data-points", "2")

    def test_a_sensor_page_survives_a_restart_of_the_api(self):
        sensor_id = service.make_sensor()
        service.send(sensor_id, [(int(time.time() * 1000), 1.0)])
        self.go(f"#/sensors/{sensor_id}")
        expect(self.page.locator(".chart.is-tall")).to_have_attribute("data-points", "1")
        service.API.stop()
        self.button("1 h").click()
        expect(self.page.get_by_role("alert").get_by_text("The api does not answer.")).to_be_visible()
        service.API.start()
        service.wait_until_ready(service.ADDRESS)
        self.button("1 d").click()
        expect(self.page.get_by_role("alert")).to_have_count(0)
