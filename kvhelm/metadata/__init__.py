"""The metadata services that users bring: one protocol, one file per service; knows no pool."""
