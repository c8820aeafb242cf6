"""Quotas: limits that several ticket types share."""
