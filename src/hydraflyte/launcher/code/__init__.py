"""The user's code as files and modules: which there are, what refers to what, and the proof that a bundle imports."""
