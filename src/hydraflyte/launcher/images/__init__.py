"""Images that tasks run in: looked up, appended to, or built, and always named by their digest."""
