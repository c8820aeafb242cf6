"""Everything that runs Tessera somewhere: on one machine, in containers, on Kubernetes."""
