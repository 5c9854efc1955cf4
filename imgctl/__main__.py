"""`python -m imgctl` is `imgctl`."""

from imgctl.cli.main import main

if __name__ == "__main__":
    main()
