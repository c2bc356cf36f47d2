# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages in a real browser. Leaves tests/output/*.png for a person to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance import Instance
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.browser

# A browser that speaks to nobody but the pages it is sent to.
FLAGS = (
    "--headless",
    "--no-sandbox",  # a test machine's root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)

# What the browser says of a header that only counts over https.
HARMLESS = ("The Cross-Origin-Opener-Policy header has been ignored",)


@pytest.fixture(scope="module")
def browser(instance: Instance, forum_host: str, website_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium and driver, "no chromium, no chromedriver: make browser"
    options = Options()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    # What a line in /etc/hosts would do.
    options.add_argument(f"--host-resolver-rules=MAP {forum_host} {instance.address}, MAP {website_host} {instance.address}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_page_load_timeout(60)
    try:
        yield chrome
    finally:
        chrome.quit()


def look_at(browser: webdriver.Chrome, url: str, picture: Path) -> None:
    """Open a page and assert that nothing of it is missing: no error in the console, no broken picture, style sheets applied."""
    browser.get(url)
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return document.readyState") == "complete")
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return [...document.images].every(i => i.complete)"))
    browser.save_screenshot(str(picture))
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [error for error in errors if not any(known in error for known in HARMLESS)] == []
    assert browser.execute_script("return [...document.images].filter(i => !i.naturalWidth).map(i => i.src)") == []
    assert browser.execute_script("return [...document.styleSheets].reduce((n, s) => n + s.cssRules.length, 0)") > 5


@pytest.mark.covers("WE-F31")
def test_the_forum_looks_right(browser: webdriver.Chrome, forum_host: str, pictures: Path) -> None:
    look_at(browser, f"http://{forum_host}/", pictures / "wesago.png")
    # The navigation bar is drawn by the forum's own JavaScript: it runs.
    assert browser.find_elements(By.CSS_SELECTOR, ".navbar .btn"), "no button in the navigation bar"


@pytest.mark.covers("WE-F33")
def test_the_website_looks_right(browser: webdriver.Chrome, website_host: str, pictures: Path) -> None:
    look_at(browser, f"http://{website_host}/", pictures / "wesago-website.png")
    assert browser.title
    assert browser.find_element(By.TAG_NAME, "h1").is_displayed()
