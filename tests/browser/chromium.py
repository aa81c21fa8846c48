"""Chromium as the tests drive it: alone, with an empty profile, and with what it logs."""

import base64
import json
from pathlib import Path
from typing import Any

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESKTOP, PHONE = (1280, 900), (390, 844)


class Chromium:
    def __init__(self, *, chromium: str, chromedriver: str, profile: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(chromedriver)
        self.driver: Any = webdriver.Chrome(options, service)

    def open(
        self,
        page: Path,
        *,
        size: tuple[int, int] = DESKTOP,
        colours: str = "light",
        medium: str = "",
        script: bool = True,
        place: str = "",
    ) -> None:
        """Open a page anew, and forget what was logged before."""
        self._command("Emulation.setScriptExecutionDisabled", value=not script)
        feature = {"name": "prefers-color-scheme", "value": colours}
        self._command("Emulation.setEmulatedMedia", media=medium, features=[feature])
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self._command("Emulation.setDeviceMetricsOverride", **metrics, mobile=size == PHONE)
        self.driver.get("about:blank")
        self.errors(), self.requests()
        self.driver.get(page.as_uri() + place)

    def _command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def errors(self) -> list[str]:
        """Give what the console got since the last time; refusals of the policy are there, too."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Give the addresses that were asked for since the last time."""
        entries = (json.loads(entry["message"]) for entry in self.driver.get_log("performance"))
        messages = (entry["message"] for entry in entries)
        sent = (one for one in messages if one["method"] == "Network.requestWillBeSent")
        return [one["params"]["request"]["url"] for one in sent]

    def picture(self) -> bytes:
        """Take a picture of the whole page."""
        taken = self._command("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    def printed(self) -> bytes:
        """Print the page, as PDF."""
        return base64.b64decode(self._command("Page.printToPDF")["data"])
