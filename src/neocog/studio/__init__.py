"""Show a network that trains, in the browser: the living page, the studio, the notebook widget."""
