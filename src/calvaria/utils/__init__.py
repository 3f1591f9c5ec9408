"""Progress and interruption of long jobs."""
