"""The catalog: tables, migrations, and every query as a named function."""
