"""Pictures of a finished sweep, and a page that holds them all."""
