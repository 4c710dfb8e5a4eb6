"""The page in a true browser: Chromium, driven by playwright."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from refseg.checkpoints.locate import find
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.service.page.files import PREFIX

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOTS = Path("out/browser")

SEE_BAR = """
const look = () => { window.sawBar ||= document.querySelector("#refseg-video-progress progress") !== null };
new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
"""
"""Notes that a video's bar was there, however briefly."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a service of two weights in its own process."""
    folder = tmp_path_factory.mktemp("service")
    shutil.copytree(find("selector"), folder / "again")
    command = [sys.executable, "-m", "refseg", "serve", "--port", "0", "--device", "cpu"]
    weights = ["--weights", "selector", "--weights", str(folder / "again")]
    log, end = (folder / "log").open("w"), time.monotonic() + 180
    service = subprocess.Popen([*command, *weights], stdout=log, stderr=subprocess.STDOUT)
    while " is ready" not in (text := Path(log.name).read_text()):
        assert service.poll() is None and time.monotonic() < end, text
        time.sleep(0.2)
    yield text.split()[0]
    service.terminate()
    assert service.wait(60) == 0, Path(log.name).read_text()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    playwright = pytest.importorskip("playwright.sync_api")
    os.environ["no_proxy"] = "127.0.0.1"
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        one = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield one
        one.close()


@pytest.fixture
def page(browser, address):
    """A page; afterwards there must have been no error on the console and no request to elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("requestfailed", lambda request: print("failed:", request.method, request.url, request.failure))
    page.on("response", lambda response: print(response.status, response.request.method, response.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:", "blob:")) else errors.append(request.url),
    )
    page.goto(address)
    page.wait_for_selector("#refseg-find")
    yield page
    shoot(page, "last")  # what a test saw when it failed
    context.close()
    assert errors == []


def shoot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)


def type_expressions(page, text: str) -> None:
    page.fill("#refseg-expressions textarea", text)


def upload(page, file: Path) -> None:
    page.set_input_files("input[type=file]", str(file))
    page.wait_for_selector(f"img[src*='{file.name}']")


@pytest.fixture
def scene(tmp_path) -> Path:
    Image.fromarray(DrawnScenes("test", 1)[0].image).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_an_image_is_uploaded_asked_about_and_its_masks_are_seen_and_saved(page, scene, tmp_path):
    upload(page, scene)
    type_expressions(page, "the pentagons\nthe giraffe")
    page.locator("#refseg-weights input").nth(1).check()
    page.click("#refseg-find")
    page.wait_for_selector("#refseg-picture-1 img")
    page.wait_for_selector("text=IoU of what is shown 100.0%")
    page.wait_for_selector("#refseg-picture-0 img")
    told = page.inner_text("#refseg-legend-0")
    assert "the pentagons" in told and "4 objects" in told and "the giraffe" in told and "nothing matches" in told
    shoot(page, "desktop")
    page.click("text=How the sentences were read")
    word = page.locator(".refseg-word", has_text="pentagons").first
    word.wait_for()  # of each of the two weights, with its number
    shade = word.evaluate("one => getComputedStyle(one).backgroundColor")
    assert shade.startswith("rgba(37, 99, 235") and 0 <= float(word.get_attribute("title")) <= 1
    assert {text.split(" (")[0] for text in page.locator("th[scope=row]").all_inner_texts()} >= {"words, block 1"}
    shoot(page, "words")
    before = page.get_attribute("#refseg-picture-0 img", "src")
    page.locator("#refseg-shown").get_by_label("the pentagons").uncheck()
    page.wait_for_function(
        "before => document.querySelector('#refseg-picture-0 img').getAttribute('src') != before", arg=before
    )
    with page.expect_download() as download:
        page.click("#refseg-save")
    with zipfile.ZipFile(download.value.path()) as file:
        assert sum(name.endswith(".png") for name in file.namelist()) == 6
    assert download.value.suggested_filename == "refseg-image.zip"
    page.click("#refseg-sample")  # whose answers replace these
    page.wait_for_selector("#refseg-picture-0", state="hidden")
    page.click("#refseg-find")
    page.wait_for_selector("#refseg-picture-1 img")
    assert page.locator("#refseg-file").count() == 1 and not page.is_visible("#refseg-file")
    assert "masks of selector" in page.get_attribute("#refseg-picture-0 img", "alt")
    assert not page.locator("#refseg-picture-0 label").filter(has_text="selector").is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "phone")


def test_a_scene_is_drawn_and_asked_about_by_keys_alone(page):
    page.focus("#refseg-sample")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#refseg-expressions textarea').value.length > 5")
    page.wait_for_selector("img[src*='scene.png']")
    page.focus("#refseg-expressions textarea")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "refseg-find":
            break
    assert page.evaluate("document.activeElement.id") == "refseg-find"
    page.keyboard.press("Enter")
    page.wait_for_selector("#refseg-picture-0 img")
    page.emulate_media(color_scheme="dark")
    page.reload()
    page.wait_for_selector("#refseg-find")
    shoot(page, "dark")


def test_what_is_missing_or_no_image_is_told(page, tmp_path):
    page.click("#refseg-find")
    page.wait_for_selector("#refseg-problem")
    assert "drop an image first" in page.inner_text("#refseg-problem")
    (tmp_path / "text.png").write_text("this is no image")
    page.set_input_files("input[type=file]", str(tmp_path / "text.png"))
    page.wait_for_selector("#refseg-problem", state="hidden")
    type_expressions(page, "the star")
    page.click("#refseg-find")
    page.wait_for_selector("text=unknown format")


def test_what_is_no_longer_kept_is_told(page, scene):
    upload(page, scene)
    type_expressions(page, "the pentagons")
    for uploaded in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/**/{scene.name}"):
        uploaded.unlink()
    page.click("#refseg-find")
    page.wait_for_selector("text=the image is no longer kept")


def play(page, selector: str) -> float:
    """Plays a video of the page; returns the width of its frames once its time has moved."""
    page.wait_for_function(f"document.querySelector({selector!r})?.readyState >= 2")
    page.evaluate(f"document.querySelector({selector!r}).play()")
    page.wait_for_function(f"document.querySelector({selector!r}).currentTime > 0.05")
    return page.evaluate(f"document.querySelector({selector!r}).videoWidth")


def test_a_clip_is_drawn_asked_about_and_its_overlay_plays_and_is_saved_by_keys_alone(page):
    page.get_by_role("tab", name="Image").focus()
    for key in ("Tab", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#refseg-video-sample")
    page.focus("#refseg-video-sample")
    page.keyboard.press("Enter")
    field = "#refseg-video-expressions textarea"
    page.wait_for_function(f"document.querySelector({field!r}).value.length > 5")
    assert play(page, "#refseg-video-preview video") == 128
    page.focus(field)
    page.keyboard.press("End")
    page.keyboard.type("\nthe giraffe")
    expressions = page.input_value(field).split("\n")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "refseg-video-find":
            break
    page.evaluate(SEE_BAR)
    page.keyboard.press("Enter")
    page.wait_for_function("window.sawBar")
    assert play(page, "#refseg-video-answer-0 video") == 640
    page.wait_for_selector("#refseg-video-progress", state="hidden")
    told = page.inner_text("#refseg-video-answer-0")
    assert all(expression in told for expression in expressions) and "found in" in told and "frames" in told
    shoot(page, "video")
    page.focus("#refseg-video-save")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    with zipfile.ZipFile(download.value.path()) as file:
        names = file.namelist()
    assert sum(name.endswith("overlay.mp4") for name in names) == 1
    assert sum(name.endswith(".png") for name in names) >= 5 * len(expressions)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark")
    shoot(page, "video-phone")


def test_what_is_no_video_is_told(page, scene, tmp_path):
    page.get_by_role("tab", name="Video").click()
    page.wait_for_selector("#refseg-video-find")
    page.click("#refseg-video-find")
    page.wait_for_selector("text=choose a video first")
    (tmp_path / "text.mp4").write_text("this is no video")
    Image.open(scene).save(tmp_path / "photo.jpg")
    page.fill("#refseg-video-expressions textarea", "the star")
    for file, told in (
        (tmp_path / "text.mp4", "text.mp4 is neither an image nor a video"),
        (tmp_path / "photo.jpg", "photo.jpg is a single image: choose the tab Image"),
    ):
        page.locator("#refseg-video-upload input[type=file]").set_input_files(str(file))
        page.wait_for_selector(f"#refseg-video-upload >> text={file.stem}")
        page.wait_for_selector("#refseg-video-problem", state="hidden")
        page.click("#refseg-video-find")
        page.wait_for_selector(f"#refseg-video-problem >> text={told}")
        assert not page.is_visible("#refseg-video-preview video")
        page.locator("#refseg-video-upload").get_by_label("Clear").click()
