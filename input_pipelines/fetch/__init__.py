"""Downloads and archives: fetched whole, checked by size and SHA-256, unpacked safely."""
