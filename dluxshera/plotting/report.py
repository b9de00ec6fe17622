"""The report of a fit: one self-contained HTML page."""

import base64
import hashlib

from . import _sections as sections
from ._css import CSS
from ._html import escape
from .report_record import FitReport


def fit_report(context: FitReport) -> str:
    """Write the page of one fit.

    Parameters
    ----------
    context : FitReport

    Returns
    -------
    str
        HTML with its figures inside; it asks nothing of any network and runs no script.
    """
    parts = {
        "Verdict": sections.verdict(context),
        "Data and model": sections.images(context),
        "Residuals and loss": sections.residuals_and_loss(context),
        "Parameter histories": sections.histories(context),
        "Signals": sections.signals(context),
        "Parameters": sections.parameters(context),
        "Correlations": sections.correlations(context),
        "Fisher information": sections.information(context),
        "Settings": sections.settings(context.settings),
    }
    created = context.summary.get("created_at")
    shown = {name: part for name, part in parts.items() if part}
    return page(context.title, context.run_id, created, shown, notice=context.notice)


def page(
    title: str, run_id: str, created: str | None, parts: dict[str, str], script: str = "", notice: str = ""
) -> str:
    """Write a self-contained page of named sections.

    Parameters
    ----------
    title, run_id : str
    created : str or None
        When the run was made.
    parts : dict of str to str
        HTML of each section by its heading.
    script : str
        What makes the page answer its reader; the only one that the page lets run.
    notice : str
        What a reader must know first; above all sections.
    """
    links = "".join(f'<li><a href="#{_anchor(name)}">{name}</a></li>' for name in parts)
    body = f'<p class="verdict warning">! {escape(notice)}</p>' if notice else ""
    body += "".join(
        f'<section id="{_anchor(name)}" aria-labelledby="{_anchor(name)}-title">'
        f'<h2 id="{_anchor(name)}-title">{name}</h2>{content}</section>'
        for name, content in parts.items()
    )
    body += f"<script>{script}</script>" if script else ""
    created = "" if created is None else " · " + escape(created)
    return _page(escape(title), escape(run_id), created, links, body, _policy(script))


def _policy(script: str) -> str:
    """Nothing from a network, no scripts but this one, known by its hash."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if not script:
        return policy
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"{policy}; script-src 'sha256-{digest}'"


def _page(title: str, run_id: str, created: str, links: str, body: str, policy: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}: {run_id}</title>
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the report</a>
<header><h1>{title}</h1><p class="run">{run_id}{created}</p></header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="content" tabindex="-1">{body}</main>
<footer>Written by dluxshera. Angles in arcsec: 1 arcsec is 1000 mas, 1 mas is 1000 µas.</footer>
</body>
</html>
"""


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
