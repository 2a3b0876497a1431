"""The operator: observe, decide, act, report; one file each."""
