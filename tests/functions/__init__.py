"""The public functions: promotion, indexing, views, printing, stubs."""
