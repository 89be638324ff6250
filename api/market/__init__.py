"""The market at a glance: latest quotes, snapshots and movers."""
