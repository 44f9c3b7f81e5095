"""Loads the plugin that judges claims and the one that renders their report."""

pytest_plugins = ["decouple.claim.plugin", "decouple.report.plugin"]
