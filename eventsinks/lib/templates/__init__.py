"""Templates of text, in Liquid and in Go's words, charged to a budget."""
