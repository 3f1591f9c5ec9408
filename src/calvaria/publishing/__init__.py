"""Publish a finished run as a data set: select its stores, check the licences, write the metadata."""
