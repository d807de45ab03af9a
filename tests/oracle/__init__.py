"""An independent recomputation of whole cubes, importing nothing of the program, to catch its mistakes."""
