"""Names that others might write, to do something on a page; and what a browser makes of a page with them."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

HOSTILE = [
    "S<script>document.title='run'</script>",
    "z<img src=x onerror=document.title='run'>.jpg",
    "</td></table></main><svg onload=document.title='run'>",
    "\"' autofocus onfocus=\"document.title='run'",
    "[a](javascript:document.title='run')",
    "](javascript:document.title='run')",
    "![a](http://127.0.0.1/x.png)",
    "http://example.org www.example.org a@example.org <http://example.org>",
    "[/bold][red]x[/red] :smile:",
    "{braces} {0} {x.__class__} }{",
    "a & b &lt;i&gt; &#60;",
    "`code` ``` ~~~",
    "**bold** _italic_ ~~gone~~",
    "1. one",
    "- [ ] two",
    "    four blanks",
    "one\n\n# two\n\n- three\n\n    four\n---\n| a |\n|---|\n",
    "$x$ $$y$$ \\(z\\) $\\nothing$",
    "<!-- hidden -->",
    "C:\\folder\\",
    "\x1b[31m \u202egnp",
]
EVERY = " ".join(HOSTILE)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Elements with their attributes, comments, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_comment(self, data):
        self.tags.append(("comment", {}))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def shape(self):
        """Elements and names of attributes; where a long name may wrap depends on the name."""
        return [(tag, sorted(attributes)) for tag, attributes in self.tags if tag != "wbr"]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


class Listener(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_):
        pass


@contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """Port of a server on this machine, and what it is asked for."""
    Listener.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, Listener.asked
        server.shutdown()


def opened(path, folder):
    """The page as Chromium has it after its scripts ran."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [
        CHROMIUM,
        *options,
        f"--user-data-dir={folder}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        path.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True).stdout
