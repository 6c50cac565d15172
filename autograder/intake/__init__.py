"""What arrived, read as untrusted input."""
