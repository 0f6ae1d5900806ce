"""What it costs: each benchmark runs this engine beside another way, and prints ratios of one run."""
