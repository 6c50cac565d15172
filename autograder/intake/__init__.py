"""What arrived, read as input that nobody vouches for."""
