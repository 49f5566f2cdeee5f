"""What keeps a page of the report from doing anything but what the kit's own script does.

Texts are escaped where they are written (`core.text`); here follow two more walls. The bodies of pages pass a
sanitiser, and the browser is told to run one script and to load nothing but pictures that lie beside the page.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import nh3
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from alnet_lib.core.text import visible

TEMPLATES = Path(__file__).with_name("templates")

_TAGS = frozenset(nh3.ALLOWED_TAGS - {"area", "map"}) | {"section", "tfoot"}
_FORM = frozenset({"form", "fieldset", "legend", "label", "select", "option"})
_ATTRIBUTES = {
    "*": {"class", "id", "role", "tabindex", "title", "lang", "dir"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "loading"},
    "details": {"open"},
    "ol": {"start"},
    "th": {"scope", "colspan", "rowspan"},
    "td": {"colspan", "rowspan"},
}
_FORM_ATTRIBUTES = {"select": {"name"}, "option": {"value"}}

# Neither `//host/x` nor `\\host\x`: from a page on disk these ask another machine.
_RELATIVE = r"(?![/\\])[^:\\]*"
_PICTURE = re.compile(rf"data:image/(?:png|jpeg|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*|{_RELATIVE}")
_ADDRESS = re.compile(rf"(?:https?|mailto):.*|{_RELATIVE}", flags=re.DOTALL)


def sanitised(body: str, *, form: bool = False) -> str:
    """Keep of a page's body what shows something, and drop what could run or load.

    Parameters
    ----------
    body : str
        HTML.
    form : bool
        Keep selects and data attributes too: the filters of the gallery and of all numbers.

    Returns
    -------
    str
        HTML without scripts, styles, handlers of events, frames, and addresses of pictures on other machines.
    """
    return nh3.clean(
        body.encode("utf-8", "replace").decode(),
        tags=set(_TAGS | _FORM if form else _TAGS),
        attributes=_ATTRIBUTES | (_FORM_ATTRIBUTES if form else {}),
        clean_content_tags={"script", "style", "svg", "math", "iframe", "object", "template", "noscript", "title"},
        attribute_filter=_checked,
        generic_attribute_prefixes={"aria-", "data-"} if form else {"aria-"},
        link_rel=None,
        url_schemes={"http", "https", "mailto", "data"},
    )


def _checked(tag: str, attribute: str, value: str) -> str | None:
    pattern = {("img", "src"): _PICTURE, ("a", "href"): _ADDRESS}.get((tag, attribute))
    return value if pattern is None or pattern.fullmatch(value) else None


def environment() -> Environment:
    """Templates of the report, in which every text is escaped."""
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, finalize=_shown)


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def tidy(page: str) -> str:
    """Drop the blanks at the ends of a page's lines, which templates leave there."""
    return re.sub(r"[ \t]+$", "", page, flags=re.MULTILINE)


def head(*more: str) -> dict[str, Markup]:
    """Script and style of a page and the policy that allows these alone.

    Parameters
    ----------
    *more : str
        Names of templates whose script and style the page has beside those of every page: `gallery`.

    Returns
    -------
    dict
        `script`, `style`, `policy`. Both stand in the page: browsers do not agree on what `'self'` means for a page
        that is opened from disk, but all of them take a hash. Pictures may lie beside the page, so `file:`.
    """
    script, style = ("".join(_own(f"{name}.{kind}") for name in ("report", *more)) for kind in ("js", "css"))
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "'self' file: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    written = "; ".join(f"{name} {allowed}" for name, allowed in policy.items())
    return {"script": Markup(script), "style": Markup(style), "policy": Markup(written)}


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
