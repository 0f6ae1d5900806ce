"""Harms a running system in every way that we know, and proves afterwards that it kept its promises."""
