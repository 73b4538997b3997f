"""The REST API: every kind of the model over HTTP, from the model's registry."""
