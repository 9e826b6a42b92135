"""The course's own tools: lessons to notebooks, notebooks run headless. Not part of what is installed."""
