"""How the pages look to whom: widths, themes, screen readers, a keyboard, a slow line."""

import re

from axe_playwright_python.sync_playwright import Axe

import service
from browser import NARROW, WIDE, Case, expect
from charts import SOME, sensor_with_history

FIRST_PAGE_MAX_BYTES = 150_000


class Layout(Case):
    def pages(self):
        sensor_id = sensor_with_history()
        if service.sql("SELECT count(*) FROM dead_letters") == "0":
            service.produce(b'{"sensor_id": 70002, "value": 1}', b"70002")
            service.until(lambda: service.sql("SELECT count(*) FROM dead_letters") != "0", 15, "a letter")
        find = lambda selector: expect(self.page.locator(selector).first)  # noqa: E731
        return {
            "overview": ("#/", lambda: find("#age").to_contain_text("live")),
            "sensors": ("#/sensors", lambda: find("tbody td.number + td.nowrap").not_to_have_text("…")),
            "sensor": (f"#/sensors/{sensor_id}", lambda: find(".chart.is-tall").to_have_attribute("data-points", SOME)),
            "dead-letters": ("#/dead-letters", lambda: find("tbody tr").to_be_visible()),
            "missing": ("#/sensors/2000000000", lambda: find(".notice").to_have_text(re.compile("no such sensor"))),
        }

    def test_accessible_and_never_wider_than_the_window(self):
        pages = self.pages()
        for width, viewport in {"1440": WIDE, "375": NARROW}.items():
            for scheme in ["light", "dark"]:
                self.context.close()
                self.open(viewport, scheme)
                for name, (path, is_there) in pages.items():
                    with self.subTest(page=name, width=width, scheme=scheme):
                        self.go(path)
                        is_there()
                        self.picture(f"{name}-{width}-{scheme}")
                        self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), viewport["width"])
                        found = Axe().run(self.page).response["violations"]
                        serious = [
                            (rule["id"], [(node["target"], node["failureSummary"]) for node in rule["nodes"]])
                            for rule in found if rule["impact"] in ("serious", "critical")
                        ]
                        self.assertEqual(serious, [])
                self.assertEqual(self.complaints, [])

    def test_dialogs_are_accessible(self):
        sensor_with_history()
        self.go("#/sensors")
        for name in ["New sensor", "Edit", "Delete"]:
            button = self.page.get_by_role("button", name=name).first
            button.click()
            expect(self.page.get_by_role("dialog")).to_be_visible()
            found = Axe().run(self.page).response["violations"]
            self.assertEqual([rule["id"] for rule in found if rule["impact"] in ("serious", "critical")], [])
            self.page.keyboard.press("Escape")
            expect(self.page.get_by_role("dialog")).to_have_count(0)
            # Whoever leaves it is where they were.
            expect(button).to_be_focused()

    def test_the_theme_can_be_chosen(self):
        def is_dark():
            return self.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 26)"

        self.assertFalse(is_dark())
        button = self.page.get_by_role("button", name="Theme")
        button.click()
        button.click()
        expect(button).to_have_text("Theme: dark")
        self.assertTrue(is_dark())
        self.page.reload()
        self.assertTrue(is_dark())

    def test_the_whole_way_by_keyboard(self):
        page = self.page
        keyboard = page.keyboard

        def tab_to(locator, presses=40):
            for _ in range(presses):
                keyboard.press("Tab")
                if locator.evaluate("element => element === document.activeElement"):
                    return
            self.fail(f"{locator} is not reached")

        keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        tab_to(page.get_by_role("link", name="Sensors", exact=True))
        keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="Sensors")).to_be_focused()
        tab_to(self.button("New sensor"))
        keyboard.press("Enter")
        expect(page.get_by_label("Type", exact=True)).to_be_focused()
        keyboard.type("by keyboard")
        keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="by keyboard")).to_be_focused()
        tab_to(page.get_by_label("Value"))
        keyboard.type("12.5")
        keyboard.press("Enter")
        expect(page.locator(".latest")).to_have_text("12.5")
        expect(page.get_by_label("Value")).to_be_focused()
        self.assertIn("#/sensors/", page.url)

    def test_the_first_page_is_small(self):
        session = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes, addresses = {}, {}
        session.on("Network.responseReceived", lambda it: addresses.update({it["requestId"]: it["response"]["url"]}))
        session.on("Network.loadingFinished", lambda it: sizes.update({it["requestId"]: it["encodedDataLength"]}))
        self.page.reload()
        expect(self.page.locator("#age")).to_contain_text("live")
        total = sum(sizes.values())
        print(f"first page: {total} bytes in {len(sizes)} answers", flush=True)
        self.assertTrue(all(address.startswith(service.URL) for address in addresses.values()), addresses)
        self.assertGreater(len(sizes), 8)
        self.assertLess(total, FIRST_PAGE_MAX_BYTES)
