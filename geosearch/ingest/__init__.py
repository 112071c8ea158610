"""Taking photos in: sources and the pipeline."""
