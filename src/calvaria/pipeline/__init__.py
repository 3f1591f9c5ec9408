"""The jobs of a run, their fingerprints and its manifest; how runs are checked and compared."""
