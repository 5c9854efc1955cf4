"""Notifications that images ended: to waiting callers in this process, and to an application's webhook."""
