"""How fast, how big and how idle Tessera is on this machine: `make bench`."""
