"""What an instructor sees: the report of a class, and tables of its grades for other systems."""
