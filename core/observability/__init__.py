"""What is told to those who operate it: logs, metrics, traces, errors."""
