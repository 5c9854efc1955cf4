"""The catalog's migrations, run by `imgctl.store.catalog.upgrade`."""
