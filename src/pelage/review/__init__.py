"""Where people decide: commands, and a page of this machine alone. What a decision means is told by `animals`."""
