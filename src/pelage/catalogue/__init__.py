"""The catalogue: where photos come from, the one table that lists them, and which of them are one encounter."""
