"""What tests do to a page beyond what its reader does."""

from typing import Any


def place(page: Any, cell: int, row: int, picture: int = 0) -> tuple[float, float]:
    """Where a character stands in the window, in pixels, scrolled into view."""
    spot = page.evaluate(
        """([cell, row, n]) => {
          const { stage, placeOf } = window.ropewalk;
          return placeOf(stage.pictures[n], cell, row);
        }""",
        [cell, row, picture],
    )
    return spot[0], spot[1]
