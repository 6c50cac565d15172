"""What code in a notebook means: definitions, magics, demonstrations, what it reaches for, what it shows."""
