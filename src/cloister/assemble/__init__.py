"""The roof: each process of Cloister built by hand, one function a process, and the founding of a trust."""
