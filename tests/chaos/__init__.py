"""Tests that inject faults into real processes and then check the result of every job."""
