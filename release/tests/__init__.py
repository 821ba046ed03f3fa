"""Tests of the release train."""
