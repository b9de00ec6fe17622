"""A real headless browser, spoken to through its debugging pipe: loads a page, presses keys, tells what went wrong."""

import json
import os
import shutil
import subprocess
import sys

import pytest

SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
# The browser reads from 3 and writes to 4; forking here to arrange that would alarm JAX.
PLUG = """
import os, sys
ends = [os.dup(int(number)) for number in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
    os.set_inheritable(number, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Space": (" ", 32, " ")}


class Browser:
    """One page in chromium.

    Attributes
    ----------
    problems : list of str
        Errors and warnings of the console, and exceptions.
    requests : list of str
        Addresses that the page asked for.
    """

    def __init__(self, profile, width=1200, height=900):
        to_child, self._to = os.pipe()
        self._from, from_child = os.pipe()

        command = [executable(), *SWITCHES, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command += [f"--window-size={width},{height}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", PLUG, str(to_child), str(from_child), *command],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._number, self._rest, self._session = 0, b"", None
        self.problems, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        """End the browser."""
        os.close(self._to)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._from)

    def load(self, path):
        """Open a file from disk, as a reader does who is connected to nothing."""
        speeds = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.call("Network.emulateNetworkConditions", offline=True, **speeds)
        self.call("Page.navigate", url=path.as_uri())
        self._until("Page.loadEventFired")

    def evaluate(self, expression):
        """The value of an expression of the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *names):
        """Press keys, as a keyboard does."""
        for name in names:
            key, code, text = KEYS[name]
            common = {"key": key, "code": name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def call(self, method, **params):
        """Ask the browser something and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _until(self, event):
        while self._read().get("method") != event:
            pass

    def _read(self):
        while b"\0" not in self._rest:
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser ended"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event, params):
        if event == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(str(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


def executable():
    """The browser; skips where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium or chromium-browser is needed on PATH to draw the page")
    return found
