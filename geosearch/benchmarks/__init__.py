"""What `geosearch bench` measures; each figure stands beside its baseline, from one run."""
