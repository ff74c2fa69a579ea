"""The dashboard: one page of HTML that holds runs, to be looked at without a network.

``page.py`` makes it, ``data.py`` says what of the records goes in, ``history.py`` finds earlier runs. The page's own code is in
``*.js`` and ``style.css``, which are put in as they are, and ``vendor/`` has the chart library.
"""

from conformance.reports.dashboard.history import Run, collect
from conformance.reports.dashboard.page import render, write_page

__all__ = ["Run", "collect", "render", "write_page"]
