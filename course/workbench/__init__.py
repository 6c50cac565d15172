"""What notebooks import: closed boxes, broken components, data, training, pictures, and views of attention."""
