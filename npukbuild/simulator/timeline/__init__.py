"""One self-contained HTML page about a run: the array, the flows, the timeline, the account."""

from __future__ import annotations

from typing import Any

__all__ = ["timeline_html"]


def __getattr__(name: str) -> Any:
    """Import the page's parts only when a page is asked for."""
    if name == "timeline_html":
        from npukbuild.simulator.timeline.page import timeline_html

        return timeline_html
    raise AttributeError(name)
