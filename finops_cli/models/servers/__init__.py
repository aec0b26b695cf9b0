"""What every backend on servers needs: addresses, connections, breakers, recovery."""
