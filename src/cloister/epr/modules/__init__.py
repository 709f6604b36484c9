"""One folder a module. A module imports the kit and the Records door, never another module."""
