"""What ardcube promises, by name; real services stand in for the network."""
