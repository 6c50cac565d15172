"""A Jupyter server with nbgrader's pages, as an instructor starts it in the folder of a course."""

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Server:
    """A Jupyter server on this machine, started in the course folder; installing nbgrader enabled its pages."""

    def __init__(self, course):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.token = secrets.token_hex(16)
        options = {
            "ip": "127.0.0.1",
            "port": self.port,
            "root_dir": course.root,
            "open_browser": False,
            "allow_root": True,
        }
        self.log = open(course.root / "server.log", "w")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter_server",
                f"--IdentityProvider.token={self.token}",
                *[f"--ServerApp.{name}={value}" for name, value in options.items()],
            ],
            cwd=course.root,
            env=course.environment(),
            stdout=self.log,
            stderr=self.log,
        )
        self._wait()

    def _wait(self):
        for _ in range(300):
            try:
                self.get("api/status")
                return
            except urllib.error.URLError:
                assert self.process.poll() is None, open(self.log.name).read()
                time.sleep(0.2)
        raise AssertionError(open(self.log.name).read())

    def request(self, path, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read().decode()

    def get(self, path):
        return json.loads(self.request(path))

    def post(self, path, data=None):
        return json.loads(self.request(path, urllib.parse.urlencode(data or {}).encode()))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
