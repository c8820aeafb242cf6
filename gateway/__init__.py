"""HTTP in, gRPC out; owns no data and no business rule, and knows no ticketing."""
