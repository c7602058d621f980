"""``report.html``: one self-contained page about one run; opens offline, prints, and reads narrow."""

from __future__ import annotations

from pathlib import Path

import jinja2

from harness.model import folder
from harness.report import story as stories
from harness.report import timeline


def write(run: Path) -> Path:
    """Write the page of a judged run into its folder and return its path; raises BadInput."""
    path = run / folder.REPORT
    path.write_text(render(stories.read(run)), encoding="utf-8")
    return path


def render(story: stories.Story) -> str:
    """Return the page as text. Everything in it is inline; it refers to nothing outside itself."""
    template = environment().get_template("report.html.j2")
    return template.render(story=story, drawing=timeline.draw(story))


def environment() -> jinja2.Environment:
    """Return what templates of this room are rendered with."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["s"] = seconds
    made.filters["size"] = size
    return made


def seconds(value: float | None) -> str:
    """Write seconds for a person; a dash for None."""
    return "–" if value is None else f"{value:.2f} s"


def size(value: int | None) -> str:
    """Write bytes for a person; a dash for None."""
    if value is None:
        return "–"
    if value < 10_000:
        return f"{value} B"
    return f"{value / 1024:.0f} KiB" if value < 10 * 1024**2 else f"{value / 1024**2:.1f} MiB"
