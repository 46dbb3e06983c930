"""Review: people decide what the machine cannot, by command; every decision is a line of the journal."""
