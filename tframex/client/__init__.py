"""The official `openai` clients, made fast and dependable."""
