"""With API keys. From the first one on every request needs one, so this comes last."""

import urllib.error

import service
from browser import Case, expect


class Access(Case):
    def test_a_key_is_asked_for_and_never_leaves_the_headers(self):
        page = self.page
        admin = service.command("keys", "create", "--name", "admin", "--scope", "admin")
        reader = service.command("keys", "create", "--name", "reader", "--scope", "read")
        urls = []
        page.on("request", lambda request: urls.append(request.url))
        dialog = page.get_by_role("dialog", name="API key")
        # The stream that is open goes on; the next request is refused, once the api has read the keys. It reads them
        # once a second, and may have read the first one alone.
        self.go("#/sensors")
        service.until(lambda: self.status() == 401, 15, "a key is asked for")
        service.until(lambda: self.status(reader) == 200, 15, "the key is known")
        page.reload()
        expect(dialog).to_contain_text("An API key is needed.")
        self.use("sp_nonsense")
        expect(dialog).to_contain_text("This API key is not valid.")
        self.use(reader)
        expect(page.locator("tbody tr").first).to_be_visible()
        self.go("#/")
        expect(page.locator("#age")).to_contain_text("live")
        self.go("#/dead-letters")
        expect(page.get_by_role("alert")).to_contain_text("lacks the scope admin")
        self.button("API key").click()
        self.use(admin)
        expect(page.get_by_role("alert")).to_have_count(0)
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")
        expect(dialog).to_have_count(0)
        kept = page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
        for token in (admin, reader):
            self.assertNotIn(token, kept)
            self.assertFalse([url for url in urls if token in url])
        self.button("API key").click()
        self.button("Forget the key", dialog).click()
        expect(dialog).to_be_visible()

    @staticmethod
    def status(token=None):
        try:
            service.call("GET", "sensors", headers={"authorization": f"Bearer {token}"} if token else None)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def use(self, token):
        dialog = self.page.get_by_role("dialog", name="API key")
        dialog.get_by_label("Key", exact=True).fill(token)
        self.button("Use this key", dialog).click()
