"""Commands on files of your own, outside of any run."""
