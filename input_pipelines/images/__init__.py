"""Image files: their headers, whether they can be decoded, and their pixels."""
