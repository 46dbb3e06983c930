"""Exchange: who was seen where and when, in the files that other tools read, one module a format.

A module turns tables into the texts of files, `files.Export`, and knows no folder; `run` reads the project's tables and
`folder` writes. docs/exchange.md has an example of each format.
"""

CAPTURES = ("secr", "oscr", "spacecap", "mark")
"""Formats of capture histories."""

FORMATS = (*CAPTURES, "camtrap-dp", "wildlife-datasets")
POPULATIONS = ("linked", "left", "right")
"""Whose captures: `pelage.animals.histories`, which a command line does not import to be understood."""
