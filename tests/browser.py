"""A real browser for tests, with the network cut, and a real JupyterLab or Notebook for it to open.

pytestmark = browser.needed()                       # skips without a browser; in CI it fails instead

with browser.Browser() as chromium, browser.Jupyter(folder, "lab") as jupyter:
    page = chromium.page()
    jupyter.run(page, "a.ipynb")                    # opens the notebook, runs all cells, saves it
    page.locator(...)                               # Playwright's own page
    chromium.check()                                # no error on any page, no request to anywhere else
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SCREENSHOTS = REPOSITORY / "artefacts" / "screenshots"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "file://", "data:", "blob:", "about:")
# Notebook 7.6 throws this whenever it starts, with an empty notebook as well.
HARMLESS = ("Cannot read properties of undefined (reading 'schema')",)


def missing():
    """Return why there is no browser to test with, or nothing."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "the package playwright is not installed: pip install playwright"
    return "" if executable() else "there is no Chromium here: apt-get install chromium"


def executable():
    """Return the path of the system's Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def needed():
    """Return the mark of tests that need a browser: they are skipped without one, and fail in CI on Linux.

    Elsewhere CI tests what learners use, which needs no browser; the browser of a learner is the same on every system.
    """
    reason = missing()
    if reason and os.environ.get("CI") and sys.platform == "linux":
        pytest.fail(f"{reason}; CI must have it", pytrace=False)
    return pytest.mark.skipif(bool(reason), reason=reason)


class Browser:
    """Chromium with an empty profile, on a light or a dark desktop, which can reach this machine and nothing else.

    Playwright's own emulation of a dark desktop would hide what the theme of a page does to the frames in it.
    requests  the addresses of all requests that its pages have made
    faults    errors that its pages have thrown
    """

    _driver, _open = None, 0  # Playwright can be started once in a thread; all browsers share it

    def __init__(self, dark=False):
        self.dark, self.requests, self.faults = dark, [], []

    def __enter__(self):
        from playwright.sync_api import sync_playwright

        if not Browser._open:
            Browser._driver = sync_playwright().start()
        Browser._open += 1
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._browser = Browser._driver.chromium.launch(
            executable_path=executable(),
            env=os.environ | {"HOME": self._profile.name},
            args=[
                *FLAGS,
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--blink-settings=preferredColorScheme={0 if self.dark else 1}",
            ],
        )
        return self

    def __exit__(self, *error):
        self._browser.close()
        self._profile.cleanup()
        Browser._open -= 1
        if not Browser._open:
            Browser._driver.stop()

    def page(self, width=1200, height=900, **settings):
        """Return a new page; the browser notes every request of it, and every error."""
        context = self._browser.new_context(
            color_scheme="null", viewport={"width": width, "height": height}, **settings
        )
        context.set_default_timeout(30_000)
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        page = context.new_page()
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        return page

    def outside(self):
        """Return the requests that were to go to another machine."""
        return [url for url in self.requests if not url.startswith(LOCAL)]

    def check(self):
        """Raise AssertionError if a page has thrown an error, or wanted something from another machine."""
        assert self.outside() == []
        assert [fault for fault in self.faults if not any(word in fault for word in HARMLESS)] == []


def screenshot(target, name):
    """Write a picture of a page or of an element where builds keep it, artefacts/screenshots; return its path."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    target.screenshot(path=path)
    return path


class Jupyter:
    """A JupyterLab ("lab") or Notebook ("notebook") of its own, with nobody's settings, that serves a folder.

    dark  True: in its dark theme
    keep  True: it saves with a notebook how its widgets stand, as one may choose in its settings
    """

    def __init__(self, folder, app="lab", dark=False, keep=False):
        self.folder, self.app, self.dark, self.keep = Path(folder), app, dark, keep
        self.token = secrets.token_hex(16)

    def __enter__(self):
        self._home = tempfile.TemporaryDirectory(prefix="jupyter-", ignore_cleanup_errors=True)
        home = Path(self._home.name)
        self._write_settings(home / "settings")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {
            "IdentityProvider.token": self.token,
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.root_dir": self.folder,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
            "LabApp.user_settings_dir": home / "settings",
            "JupyterNotebookApp.user_settings_dir": home / "settings",
            "LabApp.workspaces_dir": home / "workspaces",
        }
        places = {
            name: str(home / name)
            for name in (
                "JUPYTER_CONFIG_DIR",
                "JUPYTER_DATA_DIR",
                "JUPYTER_RUNTIME_DIR",
                "IPYTHONDIR",
                "JUPYTERLAB_SETTINGS_DIR",
            )
        }
        places["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
        self._log = open(home / "log", "w+")
        module = {"lab": "jupyterlab", "notebook": "notebook"}[self.app]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items())],
            cwd=self.folder,
            env=os.environ | places | {"JUPYTER_PREFER_ENV_PATH": "1"},
            stdout=self._log,
            stderr=self._log,
        )
        self._wait()
        return self

    def __exit__(self, *error):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._home.cleanup()

    def _write_settings(self, folder):
        """No news from elsewhere, all cells on the page at once, and the theme."""
        settings = {
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            "apputils-extension/themes": {
                "theme": "JupyterLab Dark" if self.dark else "JupyterLab Light",
                "adaptive-theme": False,
            },
            "notebook-extension/tracker": {"windowingMode": "none"},
        }
        settings = {f"@jupyterlab/{name}": values for name, values in settings.items()}
        settings["@jupyter-widgets/jupyterlab-manager/plugin"] = {"saveState": self.keep}
        for name, values in settings.items():
            path = folder / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def _wait(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=30)
                return
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, self.log()
                time.sleep(0.2)
        raise AssertionError(self.log())

    def log(self):
        """Return what the server has written."""
        return Path(self._log.name).read_text()

    def open(self, page, notebook):
        """Open a notebook, and wait until its cells are there."""
        place = {"lab": "doc/tree", "notebook": "notebooks"}[self.app]
        page.goto(f"http://127.0.0.1:{self.port}/{place}/{notebook}?token={self.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")

    def run(self, page, notebook, seconds=240):
        """Open a notebook that names its kernel, run all its cells, and save it.

        Raises AssertionError if a cell fails or writes on stderr, Playwright's TimeoutError if it takes too long.
        """
        self.open(page, notebook)
        # Playwright would wait for a promise without end, so it is left alone and asked.
        page.evaluate("""() => {
            const { commands } = window.jupyterapp;
            const wait = (time) => new Promise((done) => setTimeout(done, time));
            window.ran = "";
            (async () => {
                // A slow start asks which kernel to take; the notebook's own is chosen already.
                while (!window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel) {
                    document.querySelector(".jp-Dialog .jp-mod-accept")?.click();
                    await wait(300);
                }
                await commands.execute("notebook:run-all-cells");
                await commands.execute("docmanager:save");
                window.ran = "yes";
            })().catch((error) => { window.ran = String(error); });
        }""")
        # Five times a second; at every frame, as is the rule, the page would do nothing but be asked.
        page.wait_for_function("window.ran", timeout=1000 * seconds, polling=200)
        assert page.evaluate("window.ran") == "yes", page.evaluate("window.ran")
        errors = page.locator(
            ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'], .jp-OutputArea-output"
            "[data-mime-type='application/vnd.jupyter.error']"
        )
        assert errors.count() == 0, errors.all_inner_texts()
