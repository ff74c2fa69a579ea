"""What is in a ``.pte``, to read: in words that a terminal and a page share, and the page itself."""

from conformance.reports.inspection.page import write_page

__all__ = ["write_page"]
