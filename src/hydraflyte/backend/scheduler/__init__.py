"""What fires when, and the loop that begins scheduled executions."""
