"""Pages of HTML: one file that needs nothing beside it, made of the same blocks of Markdown as the page for a terminal.

No network, no font, no library: figures are SVG inside the page, its script only sorts and filters tables. What comes
from a name, a path or an environment variable passes through Markdown's escaping or Jinja's, and nothing else.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.report import style
from bench.report.contest import Contest
from bench.report.figures import Drawing
from bench.report.folder import Folder
from bench.report.judgement_glance import Glance
from bench.report.markdown import visible
from bench.report.page.cards import card
from bench.report.page.render import render
from bench.report.sections import title
from bench.report.trust import Word, trust


def html(
    folder: Folder,
    contests: Sequence[Contest],
    facts: str,
    legend: Sequence[str],
    details: Sequence[str],
    drawings: Iterable[Drawing],
    glance: Glance | None = None,
) -> bytes:
    """report.html: what was judged, a card for every contest with its verdict, then `details`, blocks of Markdown."""
    looks = style.looks(folder.run.arms)
    cards = [
        card(contest, folder.parities, looks, title(contest), lambda markdown: _safe([markdown]))
        for contest in contests
    ]
    figures = {drawing.path: drawing for drawing in drawings}
    heading, words = f"Run {visible(folder.run.id)}", trust(folder, contests)
    return _page(heading, [facts], details, figures, words, cards, legend, glance)


def document(title: str, blocks: Sequence[str], drawings: Mapping[str, Drawing], facts: Sequence[str] = ()) -> bytes:
    """Any other page: its title as plain text, its blocks of Markdown, its figures by their path in them.

    `facts` are blocks of Markdown under the title.
    """
    return _page(title, facts, blocks, drawings, (), (), ())


def _page(
    heading: str,
    facts: Sequence[str],
    blocks: Sequence[str],
    drawings: Mapping[str, Drawing],
    words: Sequence[Word],
    cards: Sequence[object],
    legend: Sequence[str],
    glance: Glance | None = None,
) -> bytes:
    body = render(blocks, drawings)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    css, script = _asset("style.css"), _asset("tables.js")
    page = environment.from_string(_asset("template.html.j2")).render(
        heading=heading,
        facts=_safe(facts),
        trust=words,
        headings=body.headings,
        anchors={found.source: found.anchor for found in body.headings},
        claims=[(each, _safe([each.text])) for each in glance.claims] if glance else [],
        lines=[_safe([line]) for line in glance.lines] if glance else [],
        cards=cards,
        legend=_safe(legend),
        body=Markup(body.html),  # noqa: S704 (the renderer lets no HTML of its source through)
        css=Markup(css),  # noqa: S704 (this package's own)
        css_hash=_hash(css),
        script=Markup(script),  # noqa: S704 (this package's own)
        script_hash=_hash(script),
    )
    return page.encode()


def _hash(source: str) -> str:
    """What a Content-Security-Policy knows an inline script or style by (CSP Level 3, 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _safe(blocks: Sequence[str]) -> Markup:
    """Markdown as HTML: the renderer lets no HTML of its source through."""
    return Markup(render(blocks, {}).html)  # noqa: S704


def _asset(name: str) -> str:
    return resources.files("bench.report.page").joinpath(name).read_text(encoding="utf-8")
