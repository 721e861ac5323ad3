"""One file with all that a registration needs: written from a workflow's source, read and registered elsewhere."""
