"""Sources of an upload: directories, buckets, archives, urls; each lists its files and reads each file once."""
