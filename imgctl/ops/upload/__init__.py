"""Upload of directories: choice of files, journal, preparation."""
