"""Chromium, driven by the Chrome DevTools Protocol over a pipe: one JSON object, one NUL."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

PATIENCE = 20
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The browser of this machine, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One headless browser with a profile of its own, gone with it."""

    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="drawbridge-page-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()

        # The browser reads descriptor 3 and writes 4.
        def place():
            high = os.dup(to_browser), os.dup(from_browser)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio",
             "--hide-scrollbars", "--force-color-profile=srgb", f"--user-data-dir={self.profile}", "about:blank"],
            preexec_fn=place, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.numbers = itertools.count(1)
        self.answers = {}
        self.events = []
        self.news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        while chunk := os.read(self.read_end, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            with self.news:
                for text in messages:
                    message = json.loads(text)
                    if "id" in message:
                        self.answers[message["id"]] = message
                    else:
                        self.events.append(message)
                self.news.notify_all()

    def call(self, method, session=None, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        with self.news:
            if not self.news.wait_for(lambda: number in self.answers, PATIENCE):
                raise TimeoutError(f"{method}: the browser does not answer")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, address, **looks):
        return Page(self, address, **looks)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    """One tab."""

    def __init__(self, browser, address, width=1280, height=900, scheme="light", reduced_motion=True, script=None):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Accessibility", "Network"):
            self.do(f"{domain}.enable")
        self.look(width, height, scheme, reduced_motion)
        if script:
            self.do("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.do("Page.navigate", url=address)

    def look(self, width, height=900, scheme="light", reduced_motion=True):
        self.width = width
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        motion = "reduce" if reduced_motion else "no-preference"
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                        {"name": "prefers-reduced-motion", "value": motion}])

    def do(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def eval(self, expression):
        result = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression, seconds=PATIENCE):
        """Until the expression is true: what it waits for is the page's own doing. What it reads may not be there yet."""
        end = time.monotonic() + seconds
        careful = f"(() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()"
        while not (value := self.eval(careful)):
            if time.monotonic() > end:
                raise AssertionError(f"did not come: {expression}\n{self.eval('document.body.innerText')[:3000]}")
            time.sleep(0.1)
        return value

    def text(self, selector):
        return self.eval(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def press(self, key, code=None, text=None):
        keys = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}
        params = {"key": key, "code": code or key, "windowsVirtualKeyCode": keys.get(key, ord(key[0].upper()))}
        self.do("Input.dispatchKeyEvent", type="keyDown", **params, **({"text": text} if text else {}))
        self.do("Input.dispatchKeyEvent", type="keyUp", **params)

    def type(self, text):
        self.do("Input.insertText", text=text)

    def faults(self):
        """What the page complained of: exceptions, and errors of the console."""
        with self.browser.news:
            mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        thrown = [event["params"]["exceptionDetails"] for event in mine if event["method"] == "Runtime.exceptionThrown"]
        logged = [entry for event in mine if event["method"] == "Log.entryAdded"
                  and (entry := event["params"]["entry"])["level"] == "error"]
        return thrown + logged

    def accessible(self):
        """The accessibility tree as (role, name) pairs, in order."""
        nodes = self.do("Accessibility.getFullAXTree")["nodes"]
        told = [(node.get("role", {}).get("value", ""), node.get("name", {}).get("value", ""))
                for node in nodes if not node.get("ignored")]
        return told

    def shot(self, path, full=True):
        size = self.do("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.width, "height": min(size["height"], 1900), "scale": 1}
        params = {"clip": clip, "captureBeyondViewport": True} if full else {}
        data = self.do("Page.captureScreenshot", format="png", **params)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
