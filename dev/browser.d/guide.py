"""What the guide does with curl, by clicking; and the rest of what a person does with sensors and their readings."""

import time

import service
from browser import Case, expect


class Guide(Case):
    def test_make_a_sensor_send_a_reading_and_see_it(self):
        page = self.page
        page.get_by_role("link", name="Sensors", exact=True).click()
        self.heading("Sensors")
        self.button("New sensor").click()
        dialog = page.get_by_role("dialog", name="New sensor")
        dialog.get_by_label("Type").fill("temperature")
        dialog.get_by_label("Location").fill("Greenhouse")
        self.button("Create", dialog).click()
        self.heading("temperature")
        expect(page.locator(".chart-empty")).to_contain_text("No readings yet")
        page.get_by_label("Value").fill("23.5")
        self.button("Send").click()
        expect(page.locator(".latest")).to_have_text("23.5")
        expect(page.get_by_text("Stored.", exact=True)).to_be_visible()
        expect(page.locator(".chart.is-tall")).to_have_attribute("data-points", "1")
        row = self.region("Daily averages").get_by_role("row").nth(1)
        expect(row).to_contain_text(time.strftime("%Y-%m-%d", time.gmtime()))
        expect(row).to_contain_text("23.5")

    def test_a_time_is_by_the_clock_of_the_zone(self):
        sensor_id = service.make_sensor()
        self.page.get_by_label("Time zone").select_option("Asia/Tokyo")
        self.go(f"#/sensors/{sensor_id}")
        self.page.get_by_label("Value").fill("7")
        self.page.get_by_label("Time (Asia/Tokyo), now if empty").fill("2026-01-02T03:04:05")
        self.button("Send").click()
        expect(self.page.locator(".latest + .muted")).to_have_text("at 2026-01-02 03:04:05")
        latest = service.call("GET", f"sensors/{sensor_id}/latest")
        self.assertEqual(latest["timestamp"], "2026-01-01T18:04:05Z")
        self.page.get_by_label("Time zone").select_option("UTC")
        expect(self.page.locator(".latest + .muted")).to_have_text("at 2026-01-01 18:04:05")

    def test_a_wrong_value_is_named(self):
        sensor_id = service.make_sensor()
        self.go(f"#/sensors/{sensor_id}")
        self.page.get_by_label("Value").fill("warm")
        self.button("Send").click()
        expect(self.page.locator(".notice.error", has_text="value")).to_be_visible()

    def test_change_and_delete_a_sensor(self):
        page = self.page
        sensor_id = service.make_sensor("humidity", "Attic")
        service.send(sensor_id, [(int(time.time() * 1000), 1.0)])
        self.go("#/sensors?location=Attic")
        self.button(f"Edit sensor {sensor_id}").click()
        dialog = page.get_by_role("dialog", name=f"Sensor {sensor_id}")
        dialog.get_by_label("Description").fill("Under the roof")
        self.button("Save", dialog).click()
        expect(page.get_by_role("row", name="Under the roof")).to_be_visible()
        self.button(f"Delete sensor {sensor_id}").click()
        dialog = page.get_by_role("dialog", name=f"Delete sensor {sensor_id}?")
        self.button("Delete", dialog).click()
        expect(dialog.get_by_role("alert")).to_contain_text("readings")
        dialog.get_by_label("Delete its readings, too").check()
        self.button("Delete", dialog).click()
        expect(page.get_by_text("No sensor matches.")).to_be_visible()

    def test_lines_are_sent_and_each_bad_one_is_named(self):
        page = self.page
        sensor_id = service.make_sensor()
        self.go(f"#/sensors/{sensor_id}")
        form = page.locator("section", has=page.get_by_role("heading", name="Send many"))
        day = "2026-03-01T00:0"
        lines = ["timestamp,value", f"{day}0:00Z,1.5", "", f"{day}1:00Z,cold", "yesterday,2", f"{day}2:00Z", f'{day}3:00Z,"2.5"']
        form.get_by_label("Lines", exact=True).fill("\n".join(lines))
        self.button("Send the lines", form).click()
        expect(form.locator(".notice")).to_contain_text("2 readings accepted, 3 lines not")
        rows = form.locator("tbody tr")
        expect(rows).to_have_count(3)
        for row, (line, what) in enumerate([("4", "value"), ("5", "timestamp"), ("6", "1 columns instead of 2")]):
            expect(rows.nth(row).locator("td").nth(0)).to_have_text(line)
            expect(rows.nth(row).locator("td").nth(1)).to_contain_text(what)
        expect(page.locator(".latest")).to_have_text("2.5")

    def test_what_was_downloaded_can_be_uploaded(self):
        page = self.page
        sensor_id, other_id = service.make_sensor(), service.make_sensor()
        start = 1_767_225_600_000
        service.send(sensor_id, [(start + index * 1000, index / 8) for index in range(5000)])
        self.go(f"#/sensors/{sensor_id}")
        with page.expect_download() as download:
            self.button("CSV of all readings").click()
        path = download.value.path()
        with open(path) as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "sensor_id,timestamp,value")
        self.assertEqual(len(lines), 5001)
        changed = path.with_suffix(".csv")
        changed.write_text("\n".join(lines).replace(f"\n{sensor_id},", f"\n{other_id},"))
        self.go(f"#/sensors/{other_id}")
        form = page.locator("section", has=page.get_by_role("heading", name="Send many"))
        form.get_by_label("Or a file").set_input_files(changed)
        self.button("Send the lines", form).click()
        expect(form.locator(".notice")).to_have_text("5,000 readings accepted.")
        same = f"""SELECT count(*) FROM sensor_data a JOIN sensor_data b USING (time, value)
            WHERE a.sensor_id = {sensor_id} AND b.sensor_id = {other_id}"""
        service.until(lambda: service.sql(same) == "5000", 15, "all are stored as they were")

    def test_a_hundred_thousand_sensors(self):
        page = self.page
        service.sql(
            "INSERT INTO sensors (sensor_type, location) SELECT 'many', 'Rack ' || n FROM generate_series(1, 100000) n"
        )
        self.addCleanup(service.sql, "DELETE FROM sensors WHERE sensor_type = 'many'")
        sizes = []

        def measure(answer):
            if "/sensors?" in answer.url:
                sizes.append(int(answer.headers["content-length"]))

        page.on("response", measure)
        self.go("#/sensors?type=many")
        rows = self.region("Sensors").locator("tbody tr")
        expect(rows).to_have_count(50)
        first = rows.first.inner_text()
        self.button("Next page").click()
        expect(rows.first).not_to_have_text(first)
        expect(rows).to_have_count(50)
        self.button("Previous page").click()
        expect(self.button("Previous page")).to_be_disabled()
        page.get_by_label("Search in type, description and location").fill("Rack 77777")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("Rack 77777")
        self.assertLess(max(sizes), 20_000)
