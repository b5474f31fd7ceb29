"""One engine per file, imported when it is used."""
