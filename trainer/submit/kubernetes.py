"""Kubernetes: written on another branch."""

FILE_NAME = "job.yaml"
