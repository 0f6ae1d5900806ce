"""The types of Amazon's services."""
