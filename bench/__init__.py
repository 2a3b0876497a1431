"""What kvhelm costs: measured on a real local control plane, side by side with helm alone."""
