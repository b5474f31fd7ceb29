"""One importer per dataset, each into the one store."""
