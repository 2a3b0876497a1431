"""Stories on a real control plane: real API server, scheduler, controllers and helm."""
