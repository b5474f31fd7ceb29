"""The workstation's side of a flash: keys, releases, the connection, the steps in their order. docs/flash.md explains."""
