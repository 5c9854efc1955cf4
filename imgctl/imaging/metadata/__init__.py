"""What a file says of its picture: containers are taken apart by seeking, and their blocks read by one parser each."""
