"""What a change would do to live connections, said before it is made."""
