"""Looking after what was accepted, over /v1: what became of it, and the verbs. All of this is ours."""
