"""Texts that somebody sent stay texts, whatever is in them."""

import json
import re
import time

import service
from browser import Case, expect

SCRIPT = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
IN_TYPE = '"><svg onload=window.hacked=1>'
# Turns the direction of what follows, and shows nothing of itself.
OVERRIDE = "\u202egnp.exe"


class Hostile(Case):
    def tearDown(self):
        self.assertIsNone(self.page.evaluate("window.hacked ?? null"))
        self.assertEqual(self.page.locator("main img, main script, dialog img, dialog script").count(), 0)
        super().tearDown()

    def test_fields_of_a_sensor(self):
        page = self.page
        sensor_id = service.make_sensor(IN_TYPE, SCRIPT, SCRIPT)
        self.go("#/sensors")
        page.get_by_label("Search in type, description and location").fill("window.hacked")
        row = self.region("Sensors").locator("tbody tr").first
        expect(row).to_contain_text(IN_TYPE)
        expect(row).to_contain_text(SCRIPT)
        self.button(f"Edit sensor {sensor_id}").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Location")).to_have_value(SCRIPT)
        self.button("Save", dialog).click()
        expect(dialog).to_have_count(0)
        row.get_by_role("link").click()
        self.heading(IN_TYPE)
        expect(page.locator("main")).to_contain_text(SCRIPT)
        self.button("Delete").click()
        expect(page.get_by_role("dialog")).to_contain_text(IN_TYPE)

    def test_made_in_the_dialog(self):
        self.go("#/sensors")
        self.button("New sensor").click()
        dialog = self.page.get_by_role("dialog")
        for label in ["Type", "Location", "Description"]:
            dialog.get_by_label(label).fill(IN_TYPE)
        self.button("Create", dialog).click()
        self.heading(IN_TYPE)

    def test_filters_and_addresses(self):
        for path in [
            f"sensors?q={SCRIPT}", f"sensors/1{SCRIPT}", SCRIPT, f"dead-letters?reason={SCRIPT}&sensor_id={SCRIPT}",
        ]:
            self.go(f"#/{path}")
            self.page.reload()
            expect(self.page.get_by_text(re.compile("match|no such page|reason"))).not_to_have_count(0)
        self.go("#/sensors")
        for label in ["Type, exactly", "Location, exactly"]:
            self.page.get_by_label(label).fill(SCRIPT[:50])
        expect(self.page.get_by_text("No sensor matches.")).to_be_visible()

    def test_lines_of_an_upload(self):
        sensor_id = service.make_sensor()
        self.go(f"#/sensors/{sensor_id}")
        form = self.page.locator("section", has=self.page.get_by_role("heading", name="Send many"))
        form.get_by_label("Lines", exact=True).fill(json.dumps({"sensor_id": SCRIPT, "value": 1, "timestamp": "2026-01-01"}))
        self.button("Send the lines", form).click()
        expect(form.locator("tbody tr")).to_contain_text(SCRIPT)

    def test_payload_of_a_dead_letter(self):
        page = self.page
        for payload in [SCRIPT, OVERRIDE]:
            service.produce(payload.encode())
        are_there = "SELECT count(*) >= 2 FROM dead_letters WHERE reason = 'malformed_json'"
        service.until(lambda: service.sql(are_there) == "t", 15, "the letters")
        self.go("#/dead-letters?reason=malformed_json")
        rows = self.region("Dead letters").locator("tbody tr")
        shown = []
        for row in range(2):
            rows.nth(row).get_by_role("button", name="Show").click()
            shown.append(page.locator("pre.payload").inner_text())
            self.button("Close").click()
        self.assertIn(SCRIPT, shown)
        self.assertIn("\\u{202e}gnp.exe", shown)


class DeadLetters(Case):
    def test_replayed_once_its_sensor_is_there(self):
        page = self.page
        sensor_id = 70_001
        reading = {"sensor_id": sensor_id, "value": 4.5, "timestamp": int(time.time() * 1000)}
        service.produce(json.dumps(reading).encode(), str(sensor_id).encode())
        count = f"SELECT count(*) FROM dead_letters WHERE key = '{sensor_id}'"
        service.until(lambda: service.sql(count) == "1", 15, "the letter")
        self.go("#/dead-letters")
        page.get_by_label("Sensor", exact=True).fill(str(sensor_id))
        page.keyboard.press("Enter")
        row = self.region("Dead letters").locator("tbody tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("unknown_sensor")
        row.get_by_role("button", name="Replay").click()
        expect(page.locator(".notice.warn")).to_contain_text("1 still refused")
        service.sql(f"INSERT INTO sensors (sensor_id, sensor_type) VALUES ({sensor_id}, 'late')")
        row.get_by_role("button", name="Replay").click()
        expect(page.locator(".notice.good")).to_contain_text("1 stored")
        self.assertEqual(service.sql(f"SELECT value FROM sensor_data WHERE sensor_id = {sensor_id}"), "4.5")
        expect(page.get_by_text("No dead letter matches.")).to_be_visible()

    def test_discarded_after_a_question(self):
        page = self.page
        for _ in range(3):
            service.produce(b"\xff\xfe", b"discard")
        count = "SELECT count(*) FROM dead_letters WHERE key = 'discard'"
        service.until(lambda: service.sql(count) == "3", 15, "the letters")
        self.go("#/dead-letters?reason=malformed_json")
        rows = self.region("Dead letters").locator("tbody tr")
        rows.first.get_by_role("button", name="Discard").click()
        self.button("Cancel", page.get_by_role("dialog")).click()
        rows.first.get_by_role("button", name="Discard").click()
        self.button("Discard", page.get_by_role("dialog")).click()
        expect(page.locator(".notice.good")).to_contain_text("is discarded")
        self.assertEqual(service.sql(count), "2")
        self.button("Discard all of these").click()
        self.button("Discard", page.get_by_role("dialog")).click()
        expect(page.locator(".notice.good")).to_contain_text("dead letters are discarded")
        self.assertEqual(service.sql("SELECT count(*) FROM dead_letters WHERE reason = 'malformed_json'"), "0")
