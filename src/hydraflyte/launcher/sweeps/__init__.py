"""The jobs of a launch after registration: started, followed, recorded, found again."""
