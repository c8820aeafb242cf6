"""The whole mesh on one machine, on embedded servers, from one command."""
