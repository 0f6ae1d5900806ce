"""Benchmarks: each runs this engine beside another design, and prints ratios from one run."""
