"""Systems that read a text of any length."""
