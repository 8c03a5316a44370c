"""One Chromium for all tests; each test has a window of its own, which must not complain about anything."""

import contextlib
import os
import unittest

from playwright.sync_api import expect, sync_playwright

import service

# A machine of CI may be slow.
PATIENCE_MS = 15_000
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 375, "height": 812}
# What Chromium writes for each answer that is no success; the pages say it themselves.
EXPECTED = "Failed to load resource"

_browser = None


@contextlib.contextmanager
def running():
    global _browser
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Without the sandbox, for root may not have one; the pages are our own.
        _browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield
        finally:
            _browser.close()


class Case(unittest.TestCase):
    """A test with a page."""

    def setUp(self):
        self.open()

    def open(self, viewport=WIDE, scheme="light", path="#/"):
        """A new window; what it complains about fails the test at its end."""
        self.context = _browser.new_context(
            viewport=viewport, color_scheme=scheme, locale="en-GB", timezone_id="Europe/Berlin", reduced_motion="reduce"
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.addCleanup(self.context.close)
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.heard)
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.go(path)

    def heard(self, message):
        if message.type == "error" and not message.text.startswith(EXPECTED):
            self.complaints.append(message.text)

    def go(self, path):
        """Goes there and waits until it is shown: until then the page before it can still be clicked on."""
        url = f"{service.URL}/{path}"
        self.page.goto(url)
        shown = "url => document.getElementById('main').dataset.address === new URL(url).hash"
        service.until(lambda: self.page.evaluate(shown, url), 15, f"{path} is shown")

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            self.picture(f"failed-{self._testMethodName}")
        self.assertEqual(self.complaints, [])

    def picture(self, name, full=True):
        self.page.screenshot(path=f"{os.environ['PICTURES']}/{name}.png", full_page=full)

    def heading(self, text):
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    def button(self, name, within=None):
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def region(self, name):
        return self.page.get_by_role("region", name=name, exact=True)
