"""Chromium on a pipe: open a page, measure it, press and point, look at it as a phone, in the dark and on paper.

The DevTools protocol over two pipes needs no library: JSON messages that end in a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")

# What the browser itself does at a key (move the focus, a slider, press a button) goes by Windows' number of the key.
CODES = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """A headless Chromium with one page.

    `faults` has what the page complained of since it was opened: exceptions and words on the console.
    """

    def __init__(self, folder):
        here, there = os.pipe(), os.pipe()

        # Chromium reads from descriptor 3 and writes to 4; a shell puts them there, since code between fork and exec is
        # unsafe in a process with threads. By way of numbers far above, so that neither is overwritten.
        wire = f'exec 8<&{here[0]} 9>&{there[1]} && exec 3<&8 4>&9 8<&- 9>&- && exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", wire, "bash", PATH, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(here[0], there[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(here[0])
        os.close(there[1])
        self.write, self.read = here[1], os.fdopen(there[0], "rb")
        self.count, self.session, self.faults, self.buffer = 0, None, [], b""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        """Ask, and wait for the answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        return self._until(lambda m: m.get("id") == self.count)["result"]

    def _until(self, wanted):
        while True:
            while b"\0" not in self.buffer:
                chunk = self.read.read1(1 << 16)
                assert chunk, "the browser left"
                self.buffer += chunk
            text, _, self.buffer = self.buffer.partition(b"\0")
            message = json.loads(text)
            method = message.get("method", "")
            if method == "Runtime.exceptionThrown":
                self.faults.append(message["params"]["exceptionDetails"]["exception"]["description"])
            if method == "Log.entryAdded":
                self.faults.append(message["params"]["entry"]["text"])
            if method == "Runtime.consoleAPICalled":
                self.faults.append(str([value.get("value") for value in message["params"]["args"]]))
            assert "error" not in message, message
            if wanted(message):
                return message

    def open(self, path, width=1280, height=900, dark=False, paper=False, at=""):
        """Load a file at a width, and go to a place in it, which begins with #."""
        self.show(width, height, dark, paper)
        # from an empty page: another place of the page that is open would not load it again
        for url in ("about:blank", path.as_uri() + at):
            self.faults.clear()
            self.send("Page.navigate", url=url)
            self._until(lambda m: m.get("method") == "Page.loadEventFired")

    def show(self, width=1280, height=900, dark=False, paper=False):
        """The size, colours and medium of what is shown."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media="print" if paper else "", features=features)

    def js(self, code):
        """The value of an expression on the page."""
        answer = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]["exception"]["description"]
        return answer["result"].get("value")

    def settle(self):
        """Wait until the page has drawn what was asked of it."""
        self.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def move(self, x, y, kind="mouseMoved", **more):
        """Point somewhere, or press and let go there."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def press(self, key):
        """Press a key, and let it go."""
        more = {"windowsVirtualKeyCode": CODES[key]} if key in CODES else {}
        self.send(
            "Input.dispatchKeyEvent", type="keyDown", key=key, **more, **({"text": "\r"} if key == "Enter" else {})
        )
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    def picture(self, path):
        """The whole page as a PNG file."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self):
        """The page on A4 paper."""
        made = self.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        return base64.b64decode(made["data"])


@contextmanager
def browser():
    """A browser for a while."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        opened = Browser(folder)
        try:
            yield opened
        finally:
            opened.process.kill()
            opened.process.wait()
            opened.read.close()
            os.close(opened.write)
