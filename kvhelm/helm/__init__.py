"""The only place that runs helm or reads a release Secret."""
