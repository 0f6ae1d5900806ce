"""Templates of text, in Liquid and in Go's syntax, charged to a budget."""
