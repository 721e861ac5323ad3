"""Messages about ended executions, and the loop that delivers them."""
