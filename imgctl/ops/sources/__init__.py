"""Where the files of an upload lie: directories, buckets, archives; each lists its files and reads every one once."""
