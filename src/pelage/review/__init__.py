"""The local page on which people decide: routes, templates, and who may ask them what."""
