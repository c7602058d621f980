"""Terminal, HTML, JUnit and JSON: what a person or a CI reads of a run folder."""
