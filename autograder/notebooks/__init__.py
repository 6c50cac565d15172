"""What code in a notebook means: definitions, magics, demonstrations, what it reaches, what it shows."""
