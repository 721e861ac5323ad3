"""An execution that is to happen again: what is known of it, what can be the same, and how it is run."""
