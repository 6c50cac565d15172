"""From observations to a diagnosis."""
