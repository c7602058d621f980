"""Terminal, HTML and JSON: what a person or a CI reads of a run folder."""
