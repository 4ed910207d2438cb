"""Show a network that trains, in the browser: the living page, the studio, the notebook widget."""

from neocog.studio.architecture import describe, has_page_form

__all__ = ["describe", "has_page_form"]
