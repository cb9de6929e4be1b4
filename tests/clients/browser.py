"""Drives the page in headless Chromium: browser.py ADDRESS FOLDER AXE. Uploads FOLDER/pictures, trains, watches, looks at the report, asks
about a picture, audits, moves an alias. Each page is held against axe-core's rules on the way, and against its weight.

What is wrong ends it with an error that says so.
"""
import json
import pathlib
import shutil
import sys
import time
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

# Longest that anything is waited for: a bound for failures, not a measure.
PATIENCE = 240
# Pixels across a phone.
PHONE = 390
# The most that a page may load, in bytes, with its files and pictures.
WEIGHT = 250_000
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
).split()


def browser(width=1280, height=900, *more):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in [*OPTIONS, f"--window-size={width},{height}", *more]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


class Page:
    """A browser at a server's page."""

    def __init__(self, address, driver, axe=None):
        self.address, self.driver = address.rstrip("/"), driver
        self.axe = pathlib.Path(axe).read_text() if axe else None
        self.figures = []

    def open(self, path):
        self.driver.get(f"{self.address}/{path}")

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        """The element, as soon as it is there and can be seen."""
        return self.until(selector, lambda: next((found for found in self.all(selector) if found.is_displayed()), None))

    def until(self, what, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if value := condition():
                    return value
            except WebDriverException as error:  # What was looked at may be gone: the page goes on by itself.
                if not any(gone in str(error) for gone in ("stale", "no such element", "does not belong to the document")):
                    raise
            time.sleep(0.05)
        raise AssertionError(f"{what} didn't come at {self.driver.current_url}:\n{self.one('main').text}")

    def script(self, text, *values):
        return self.driver.execute_script(text, *values)

    def click(self, selector):
        found = self.one(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def fill(self, selector, text):
        field = self.one(selector)
        field.clear()
        field.send_keys(text)

    def give(self, selector, path):
        """Files go into a field that people don't see: its label is the button."""
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(str(path))

    def text(self, selector):
        return self.one(selector).text

    def checked(self, name):
        """The page has no serious fault that axe-core knows of, fits a phone, isn't too heavy, and had no error of its own."""
        self.until("the page", lambda: self.script("return document.readyState") == "complete")
        if self.axe:
            phone = {"width": PHONE, "height": 844, "deviceScaleFactor": 1, "mobile": False}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
            wide = self.script("return document.documentElement.scrollWidth")
            assert wide <= PHONE, f"{name} is {wide} pixels wide on a phone of {PHONE}"
            # A chart is cut off until it is drawn anew, a frame later.
            fit = "return [...document.querySelectorAll('.chart')].every((place) => place.scrollWidth <= place.clientWidth)"
            self.until("charts as wide as a phone", lambda: self.script(fit))
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        for theme in ("dark", "light") if self.axe else ():
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
            self.script(self.axe)
            found = self.driver.execute_async_script(
                "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations), (e) => done([{id: String(e), impact: 'critical', nodes: []}]))"
            )
            bad = [one for one in found if one["impact"] in ("serious", "critical")]
            told = [f"{one['id']}: {[node.get('html', '')[:200] + ' ' + node.get('failureSummary', '') for node in one['nodes'][:3]]}" for one in bad]
            assert not bad, f"{name}, {theme}: {told}"
        loaded = self.script(
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
            ".filter((entry) => !entry.name.includes('/events')).reduce((sum, entry) => sum + entry.encodedBodySize, 0)"
        )
        assert loaded <= WEIGHT, f"{name} loads {loaded} bytes"
        paint = self.script("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
        self.figures.append((name, loaded, paint))
        # A form that is being filled in is refused now and then, which is what it asks for.
        errors = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE" and "status of 422" not in entry["message"]]
        assert not errors, f"{name}: {errors}"


def upload(page, folder):
    page.open("datasets")
    page.checked("data sets, empty")
    page.give("#folder", folder)
    assert "3 classes" in page.text("#what"), page.text("#what")
    page.fill("#name", "toys")
    page.click("#send")
    page.until("the data set", lambda: page.all("#dataset[data-state=ready]"))
    assert page.text("h1").startswith("toys"), page.text("h1")
    thumbs = page.all("#grid img")
    assert len(thumbs) >= 24, len(thumbs)
    shown = "return arguments[0].complete && arguments[0].naturalWidth"
    page.script("arguments[0].scrollIntoView()", thumbs[0])
    page.until("a picture", lambda: page.script(shown, thumbs[0]))
    page.checked("a data set")
    # More come as one scrolls, until all are there.
    page.script("document.getElementById('more')?.scrollIntoView()")
    page.until("more pictures", lambda: len(page.all("#grid img")) == 36)


def audit(page):
    page.click("a[href$='/audit']")
    page.checked("an audit, before")
    page.click("#start")
    page.until("the audit", lambda: page.all("#audit[data-state=ready]"))
    page.checked("an audit")
    # One picture is left out: that makes another data set. There is one to leave out, as the classes are small.
    page.click(".found .exclude")
    page.fill("#name", "toys-clean")
    page.click("#revise button")
    page.until("the revision", lambda: "toys-clean" in page.text("h1"))
    assert page.text(".facts dd") == "35", page.text(".facts")


def train(page):
    page.open("train?dataset=toys")
    page.checked("train")
    page.click("details summary")
    page.fill("[data-field='input_size']", "200")
    page.until("the refusal", lambda: "multiple of 32" in page.text(".wrong"))
    page.fill("[data-field='input_size']", "160")
    page.fill("[data-field='augmentation.views']", "0")
    page.fill("[data-field='warm_up.epochs']", "8")
    page.fill("[data-field='warm_up.optimizer.learning_rate']", "0.001")
    page.fill("[data-field='fine_tune.epochs']", "8")
    page.until("what it comes to", lambda: "8 + 8 epochs at 160" in page.text("#verdict"))
    page.click("#train button:not([type])")
    page.until("the job", lambda: page.all("#job"))
    # The curve grows while it trains: the page isn't loaded anew, and its rows become more.
    seen = set()

    def grown():
        seen.add(page.script("return document.querySelector('#job').dataset.state + ' ' + document.querySelectorAll('#epochs tbody tr').length"))
        return page.all("#job[data-state=succeeded]")

    page.until("the end of the job", grown)
    growing = {state for state in seen if state.startswith(("queued", "running"))}
    assert len(growing) >= 3, f"the curve didn't grow: {seen}"
    page.until("all epochs", lambda: page.text("#epochs-done") == "16")
    page.checked("a job")
    drawn = "const c = document.querySelector('#accuracy canvas'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.some((v) => v > 0)"
    assert page.script(drawn), "nothing is drawn"


def report(page):
    page.click("a[href*='/versions/']")
    page.checked("a report")
    cell = page.one(".confusion td a")
    count = int(cell.text)
    page.click(".confusion td a")
    page.until("the cell", lambda: page.all("#cell"))
    assert len(page.all("#cell img")) == count, f"{count} in the cell, {len(page.all('#cell img'))} shown"
    page.until("its pictures", lambda: page.script("const i = document.querySelector('#cell img'); i.scrollIntoView(); return i.complete && i.naturalWidth"))
    page.script("const s = document.getElementById('threshold'); s.value = 0; s.dispatchEvent(new Event('input'))")
    assert page.text("#answered").split() == ["100.0", "%"], page.text("#answered")


def ask(page, picture):
    page.open("try?model=toys")
    page.checked("try it")
    page.give("#file", picture)
    page.one(".bars li")
    assert len(page.all(".bars li")) == 3
    heat = page.one(".seen .heat")
    assert page.until("the heat map", lambda: page.script("return arguments[0].complete && arguments[0].naturalWidth", heat))
    page.until("similar pictures", lambda: page.all(".answer .row img"))
    page.checked("an answer")
    page.click(".check input")
    assert not heat.is_displayed()
    page.click("#camera")
    page.until("the camera", lambda: page.script("return document.getElementById('video').videoWidth"))
    page.click("#shoot")
    page.until("the camera's answer", lambda: len(page.all(".answer")) == 2)
    page.click("#close")


def aliases(page):
    body = {"dataset": "toys", "model": "toys", "recipe": {"preset": "classic", "input_size": 160, "warm_up": {"epochs": 1}, "fine_tune": {"epochs": 0}}}
    request = urllib.request.Request(f"{page.address}/v1/jobs", json.dumps(body).encode(), {"content-type": "application/json"})
    job = json.load(urllib.request.urlopen(request))["id"]
    page.open(f"jobs/{job}")
    page.until("the second job", lambda: page.all("#job[data-state=succeeded]"))
    page.open("jobs")
    page.checked("jobs")
    for box in page.all("[name=job]"):
        box.click()
    page.click("#compare button")
    page.until("the comparison", lambda: page.all("#accuracy canvas"))
    assert "warm_up.epochs" in page.text("main"), page.text("main")
    page.checked("compare")
    page.open("models/toys")
    page.checked("a model")
    assert "Version 2 answers" in page.text(".head")
    Select(page.one("#alias-version")).select_by_value("1")
    page.click("#alias button")
    page.until("the alias", lambda: "Version 1 answers" in page.text(".head"))
    for box in page.all("[name=version]"):
        box.click()
    page.click("form[action$='/compare'] button")
    page.until("both versions", lambda: "versions 1 and 2" in page.text("h1"))
    page.checked("two versions")
    page.open("models")
    page.checked("models")
    page.open("")
    page.checked("the beginning")
    page.open("sign-in")
    page.checked("sign in")
    page.open("nowhere")
    assert "no page" in page.text("main")
    # The browser notes what isn't found, as it should.
    page.driver.get_log("browser")


def main():
    address, folder, axe = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    driver = browser()
    try:
        page = Page(address, driver, axe)
        upload(page, folder / "pictures")
        train(page)
        report(page)
        ask(page, folder / "picture.png")
        aliases(page)
        page.open("datasets/toys")
        audit(page)
        for name, loaded, paint in page.figures:
            print(f"{name}: {loaded} bytes, first paint after {paint and round(paint)} ms")
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
