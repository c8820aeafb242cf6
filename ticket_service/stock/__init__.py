"""What remains of ticket types and of the quotas they share: taken and put back under locks."""
