"""What answers for a capability: a supervised plugin, a class inside the gateway, or nothing."""
