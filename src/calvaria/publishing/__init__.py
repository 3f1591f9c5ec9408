"""A finished run as a data set for others: what is published, under which terms, and how it is described."""
