"""What all commands share: options, output, and the wrapper of a run."""
