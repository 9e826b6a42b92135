"""How each miniature is trained from scratch; the last lesson teaches with these same functions."""
