"""The store: OVSDB, its schema made from the model, its server and its client."""
