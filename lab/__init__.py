"""The Mininet lab: nodes, scenarios, reports."""
