"""Named joint layouts."""
