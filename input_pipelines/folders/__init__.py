"""Folders of images: a folder for each class, with or without splits."""
