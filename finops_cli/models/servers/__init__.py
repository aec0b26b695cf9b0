"""The parts of every backend on servers: addresses, connections, breakers, recovery."""
