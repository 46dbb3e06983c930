"""Who the animals are and how many: evidence, individuals, decisions of people, counts, exchange."""
